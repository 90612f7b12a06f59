"""The toolbox that learned codecs are written with; everything here may load torch.

Training, and what it leaves:

recipe           what a training run does, as data
jobs             what a training run is asked to do
samples          images on a device, and how well a network restores them
augment          random changes of training images, in batches on the device
optimizers       the optimisers that a recipe can name
training         the training loop: exact resuming, a log and a model card
checkpoint       the folder of a training run
outcome          the best weights with their tables, the model card, and where they go
tables           what a weight file holds beside parameters, made at the end of training
weights          safetensors files with a model card and a checksum
adversarial      losses by a discriminator and by a feature network

Codecs whose stream is a latent:

autoencoder      their base class
latents          quantised and entropy-coded latents
fitting          the tables that this takes, fitted to training images
tiling           images of any size as blocks of a network's size

Codecs that are trained for their rate, with entropy models that give the same integers on every machine
(docs/learned-codecs.md):

exact            layers whose results are the same everywhere
levels           vectors that depend on a quality; exact exponentials
contexts         the entropy model of a lossy codec: slices, checkerboard, hyper-latent
scales           tables of counts, one for each scale of a symbol's distribution
symbols          writing and reading symbols of many scales
counting         tables counted at the end of training, and how far encoders trade error for bits
ratedistortion   base class of lossy codecs with such a model
blocks           large images as blocks of a convolutional network
causal           what is known of a pixel that is coded after others
chances          distributions of integer counts from logits
mixtures         the same from mixtures of logistic distributions
wavefront        decoding pixels along slanted lines

Entropy coders:

entropy          range coding with tables, one stream after the other
lanes            many range-coded streams side by side
"""
