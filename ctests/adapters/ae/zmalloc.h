/* What ae.c asks of the rest of Redis: memory. */
#ifndef STANDIN_ZMALLOC_H
#define STANDIN_ZMALLOC_H

#include <stdlib.h>

#define zmalloc malloc
#define zcalloc(size) calloc(1, size)
#define zrealloc realloc
#define zfree free

#endif
