/* Arguments for a variadic function that are known only at run time.
 *
 * On x86-64 and AArch64 Linux a variadic function finds its whole-number and pointer arguments apart
 * from the floating ones: in registers of their own, and beyond those on the stack, eight bytes each.
 * Eight doubles always fit into registers. So one call with 16 words and 8 doubles looks to the callee
 * like any sequence of arguments, in which the words and the doubles are in the right order among
 * themselves. C does not promise that, these two platforms do. */
#ifndef HIREDIS_RS_FUZZ_VARARGS_H
#define HIREDIS_RS_FUZZ_VARARGS_H

#include <stdint.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "on this platform nobody has looked how variadic functions take their arguments"
#endif

enum { VARARGS_WORDS = 16, VARARGS_DOUBLES = 8 };

struct varargs {
    uint64_t word[VARARGS_WORDS];
    double number[VARARGS_DOUBLES];
    int words, numbers;
};

/* Callers see to it that there is room. */
static inline void varargs_word(struct varargs *v, uint64_t word) {
    v->word[v->words++] = word;
}

static inline void varargs_pointer(struct varargs *v, const void *p) {
    varargs_word(v, (uint64_t)(uintptr_t)p);
}

static inline void varargs_double(struct varargs *v, double number) {
    v->number[v->numbers++] = number;
}

#define VARARGS(v)                                                                              \
    (v).word[0], (v).word[1], (v).word[2], (v).word[3], (v).word[4], (v).word[5], (v).word[6],  \
    (v).word[7], (v).word[8], (v).word[9], (v).word[10], (v).word[11], (v).word[12],            \
    (v).word[13], (v).word[14], (v).word[15], (v).number[0], (v).number[1], (v).number[2],      \
    (v).number[3], (v).number[4], (v).number[5], (v).number[6], (v).number[7]

#endif
