from openautoglm.pretrained import *
