from openautoglm.core import *
