from openautoglm.errors import *
