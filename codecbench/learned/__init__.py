"""The toolbox that learned codecs are written with; everything here may load torch.

weights        safetensors files with a model card and a checksum
autoencoder    base class of codecs whose stream is the raw latent
recipe         what a training run does, as data
augment        random changes of training images, in batches on the device
checkpoint     the folder of a training run
training       the training loop: exact resuming, a log and a model card
"""
