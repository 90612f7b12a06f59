"""The public names of codecbench and the modules that define them; ``codecbench/__init__.py`` reads this file."""

from . import data as data
from .api import Run as Run
from .api import load_run as load_run
from .api import run as run
from .data import data_root as data_root
from .errors import BitstreamError as BitstreamError
from .errors import CodecbenchError as CodecbenchError
from .errors import CodecError as CodecError
from .errors import ContractError as ContractError
from .errors import DatasetError as DatasetError
from .errors import PluginError as PluginError
from .errors import TrainingError as TrainingError
from .errors import UnsupportedImageError as UnsupportedImageError
from .errors import UsageError as UsageError
from .errors import WeightsError as WeightsError
from .measure.distortion import PEAK as PEAK
from .measure.distortion import psnr_db as psnr_db
from .plan.planner import open_codec as open_codec
from .plan.planner import open_dataset as open_dataset
from .plugins.codec import MAX_PIXELS as MAX_PIXELS
from .plugins.codec import MAX_SET_BYTES as MAX_SET_BYTES
from .plugins.codec import Codec as Codec
from .plugins.codec import FloatCodec as FloatCodec
from .plugins.codec import FloatImages as FloatImages
from .plugins.codec import Images as Images
from .plugins.codec import PerImageCodec as PerImageCodec
from .plugins.codec import SetCodec as SetCodec
from .plugins.codec import Shape as Shape
from .plugins.dataset import ArrayImages as ArrayImages
from .plugins.dataset import Dataset as Dataset
from .plugins.dataset import DatasetStatus as DatasetStatus
from .plugins.dataset import ImageSet as ImageSet
from .plugins.registry import register_codec as register_codec
from .plugins.registry import register_dataset as register_dataset
from .plugins.registry import register_metric as register_metric
from .plugins.settings import Value as Value
from .plugins.settings import setting as setting
from .plugins.varint import pack_numbers as pack_numbers
from .plugins.varint import unpack_numbers as unpack_numbers
from .text import format_shape as format_shape
from .text import one_line as one_line

__version__: str
