#include "values.h"

#include <stdlib.h>
#include <string.h>

enum { POOL = 8 << 20 };

static uint64_t *pool;

int values_make(uint64_t seed) {
    struct rng r = rng_of(seed, 'v', 0);
    pool = malloc(POOL);
    if (pool == NULL) return 0;
    for (size_t i = 0; i < POOL / sizeof(*pool); i++) pool[i] = rng_next(&r);
    return 1;
}

void values_free(void) {
    free(pool);
    pool = NULL;
}

struct value value_pick(struct rng *r, unsigned bits) {
    uint32_t len = 15 + (uint32_t)rng_size(r, bits);
    return (struct value){(uint32_t)rng_below(r, POOL - len), len};
}

const char *value_bytes(struct value v) { return (const char *)pool + v.offset; }

int value_is(struct value v, const char *bytes, size_t len) {
    return len == v.len && memcmp(bytes, value_bytes(v), len) == 0;
}
