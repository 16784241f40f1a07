// Shows libpng to Swift: its simplified interface, and reading as Swift can call it.
#include <png.h>

#include "reading.h"
