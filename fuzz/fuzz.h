/* What the fuzz targets share. README.md says what each of them does.
 *
 * A target defines fuzz_one(), which plays one input. Around it the library's memory is counted by
 * the allocator of the C suite (ctests/test_alloc.c): a block that is left, freed twice or never
 * allocated is a finding, as is whatever AddressSanitizer sees and every failing CHECK. */
#ifndef HIREDIS_RS_FUZZ_H
#define HIREDIS_RS_FUZZ_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "test.h"

/* ---- The input ---------------------------------------------------------------------
 *
 * Decisions are taken byte by byte from the front. Where it is used up they are all 0, so a
 * target's choice 0 must lead to an end. */

struct input {
    const uint8_t *at, *end;
};

uint8_t in_byte(struct input *in);
unsigned in_below(struct input *in, unsigned n);    /* less than n, at most 256 */
uint32_t in_word(struct input *in);                 /* four bytes */
size_t in_left(const struct input *in);
/* Up to n bytes as they stand in the input; *got tells how many. */
const uint8_t *in_bytes(struct input *in, size_t n, size_t *got);

void fuzz_one(struct input *in);

/* Arms the allocator by two bytes of the input: for half of all values not at all, else one
 * request fails, or all from one on. */
void in_faults(struct input *in);

/* ---- Text of any bytes -------------------------------------------------------------- */

struct text {
    char *p;            /* NUL-terminated; NULL until something was added */
    size_t len, room;
};

void text_add(struct text *t, const void *p, size_t n);
__attribute__((format(printf, 2, 3))) void text_printf(struct text *t, const char *format, ...);
void text_fill(struct text *t, int c, size_t n);    /* adds the byte n times */
void text_clear(struct text *t);                    /* keeps the memory */
void text_free(struct text *t);
/* The bytes with what does not print as \xHH, for messages; valid until the next call but three. */
const char *shown(const void *p, size_t n);

/* Fails unless the bytes are the text. */
void same_text(const char *what, const void *got, size_t len, const struct text *want);

/* A line of what is going on, on stderr, when the environment variable FUZZ_TELL is set: for whoever
 * looks into a finding. */
__attribute__((format(printf, 1, 2))) void tell(const char *format, ...);

/* ---- Planted faults ----------------------------------------------------------------- */

/* Whether the environment variable FUZZ_PLANT is `what`: the self-check of fuzz/run plants a fault
 * into each target and looks whether it is found. */
int planted(const char *what);

#endif
