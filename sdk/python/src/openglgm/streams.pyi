from openautoglm.streams import *
