// Shows OpenBLAS's C interface to Swift.
#include <cblas-openblas.h>
