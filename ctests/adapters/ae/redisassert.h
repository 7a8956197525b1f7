/* What ae.c asks of the rest of Redis: an end when something cannot be. */
#ifndef STANDIN_REDISASSERT_H
#define STANDIN_REDISASSERT_H

#include <assert.h>
#include <stdlib.h>

#define panic(...) abort()

#endif
