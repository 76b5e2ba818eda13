from openautoglm.worker import *
