from openautoglm.client import *
