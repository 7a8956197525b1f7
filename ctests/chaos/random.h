/* Pseudo-random numbers in streams: the same seed and the same numbers of a stream give the same
 * sequence, whatever other streams did meanwhile. */
#ifndef CHAOS_RANDOM_H
#define CHAOS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

/* The output function of splitmix64. */
static inline uint64_t rng_mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline struct rng rng_of(uint64_t seed, uint64_t stream, uint64_t number) {
    return (struct rng){rng_mix(rng_mix(rng_mix(seed + 1) ^ (stream << 56)) ^ (number + 1))};
}

static inline uint64_t rng_next(struct rng *r) {
    r->state += 0x9e3779b97f4a7c15u;
    return rng_mix(r->state);
}

static inline size_t rng_below(struct rng *r, size_t n) {
    return (size_t)(rng_next(r) % n);
}

static inline size_t rng_between(struct rng *r, size_t least, size_t most) {
    return least + rng_below(r, most - least + 1);
}

static inline int rng_percent(struct rng *r, unsigned percent) {
    return rng_below(r, 100) < percent;
}

/* 1 to 2^bits, each power of two as likely as the others: mostly small, at times large. */
static inline size_t rng_size(struct rng *r, unsigned bits) {
    return 1 + rng_below(r, (size_t)1 << rng_below(r, bits + 1));
}

#endif
