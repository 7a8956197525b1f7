/* Values whose content can be checked without keeping it: slices of one block of random bytes. */
#ifndef CHAOS_VALUES_H
#define CHAOS_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "random.h"

enum { VALUE_BITS = 22 }; /* the longest has 4 MiB */

struct value {
    uint32_t offset, len;
};

/* 0 when there is no memory. */
int values_make(uint64_t seed);
void values_free(void);

/* Of 16 to 16 + 2^bits bytes: long enough that no two are alike by chance. */
struct value value_pick(struct rng *r, unsigned bits);

const char *value_bytes(struct value v);
int value_is(struct value v, const char *bytes, size_t len);

#endif
