"""The toolbox of learned codecs; all of it may load torch.

A codec's file needs ``import codecbench as cb`` and ``from codecbench import learned``. The base classes are in
``codec``, ``autoencoder`` and ``ratedistortion``; ``layers`` has networks that compute exactly, ``coding`` entropy
coders and their distributions, ``training`` all that makes weights.
"""

from codecbench.learned.autoencoder import Autoencoder as Autoencoder
from codecbench.learned.autoencoder import LatentCodec as LatentCodec
from codecbench.learned.codec import LearnedCodec as LearnedCodec
from codecbench.learned.coding import interleaved as interleaved
from codecbench.learned.coding import wavefront as wavefront
from codecbench.learned.coding.interleaved import InterleavedDecoder as InterleavedDecoder
from codecbench.learned.coding.mixtures import Mixtures as Mixtures
from codecbench.learned.coding.scales import ScaleTables as ScaleTables
from codecbench.learned.coding.softmax import Softmax as Softmax
from codecbench.learned.coding.wavefront import neighbours as neighbours
from codecbench.learned.coding.wavefront import window as window
from codecbench.learned.layers.contexts import ContextModel as ContextModel
from codecbench.learned.layers.contexts import Layout as Layout
from codecbench.learned.layers.exact import ACTIVATION_BITS as ACTIVATION_BITS
from codecbench.learned.layers.exact import ExactConv2d as ExactConv2d
from codecbench.learned.layers.exact import ExactLinear as ExactLinear
from codecbench.learned.layers.exact import ExactResidual as ExactResidual
from codecbench.learned.layers.exact import IntegerNetwork as IntegerNetwork
from codecbench.learned.layers.exact import on_grid as on_grid
from codecbench.learned.layers.levels import LEVELS as LEVELS
from codecbench.learned.layers.levels import Levels as Levels
from codecbench.learned.layers.ratedistortion import LATENT_SCALE as LATENT_SCALE
from codecbench.learned.layers.ratedistortion import RateDistortionNetwork as RateDistortionNetwork
from codecbench.learned.ratedistortion import ANY_SHAPE as ANY_SHAPE
from codecbench.learned.ratedistortion import RateDistortionCodec as RateDistortionCodec
from codecbench.learned.tiling import batch_size as batch_size
from codecbench.learned.tiling import batches as batches
from codecbench.learned.training.augment import Chain as Chain
from codecbench.learned.training.augment import RandomAffine as RandomAffine
from codecbench.learned.training.augment import RandomColour as RandomColour
from codecbench.learned.training.augment import RandomCropFlip as RandomCropFlip
from codecbench.learned.training.augment import RandomFlat as RandomFlat
from codecbench.learned.training.augment import RandomZoom as RandomZoom
from codecbench.learned.training.losses import FeatureNetwork as FeatureNetwork
from codecbench.learned.training.losses import PatchDiscriminator as PatchDiscriminator
from codecbench.learned.training.losses import adversarial_losses as adversarial_losses
from codecbench.learned.training.losses import feature_distance as feature_distance
from codecbench.learned.training.recipe import Network as Network
from codecbench.learned.training.recipe import Recipe as Recipe
from codecbench.learned.training.recipe import called as called
from codecbench.learned.weights import shipped_network as shipped_network
from codecbench.learned.weights import shipped_tables as shipped_tables
from codecbench.learned.weights import weights_path as weights_path
from codecbench.learned.weights import with_cards as with_cards
