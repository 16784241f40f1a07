// Shows the types of OpenBLAS's C interface to Swift. The library is loaded when it is called.
#include <cblas-openblas.h>
