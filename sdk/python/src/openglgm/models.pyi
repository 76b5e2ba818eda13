from openautoglm.models import *
