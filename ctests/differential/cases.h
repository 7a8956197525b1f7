/* What the two programs print: cases by name, each with lines of its own. Names and lines must not
 * depend on chance, on addresses or on time: `run` compares them. */
#ifndef HIREDIS_RS_DIFFERENTIAL_CASES_H
#define HIREDIS_RS_DIFFERENTIAL_CASES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define begin(...) (printf("== "), printf(__VA_ARGS__), putchar('\n'))

static uint64_t state;

static void seed(uint64_t n) { state = n * 2654435761u + 88172645463325252u; }

/* A number below n. */
static unsigned below(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 11) % n);
}

static inline void show(const char *bytes, size_t len) {
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c < 32 || c > 126 || c == '"' || c == '\\') {
            printf("\\x%02x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static inline size_t random_bytes(char *to, size_t most) {
    static const char usual[] = "abc XYZ019 %\\\"'\r\n\t$*:+-";
    size_t len = below((unsigned)most + 1);
    for (size_t i = 0; i < len; i++) {
        to[i] = below(4) ? usual[below(sizeof(usual) - 1)] : (char)below(256);
    }
    return len;
}

#endif
