from openautoglm import *
from openautoglm import __version__ as __version__
