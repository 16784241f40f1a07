// Shows libpng's simplified interface to Swift.
#include <png.h>
