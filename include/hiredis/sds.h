/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sds.h - dynamic strings: text that knows its length and grows.
 *
 * An sds is a char * to the text itself, so it passes for a C string. Its length and
 * capacity lie in a header before the text, a NUL lies behind it, and it may hold any
 * bytes. `obuf` of a context and `buf` of a reader are such strings.
 *
 *     sds s = sdsnew("GET");
 *     s = sdscatprintf(s, " key:%d", 7);
 *     printf("%s has %zu bytes\n", s, sdslen(s));
 *     sdsfree(s);
 *
 * For all functions here:
 *   - Memory comes from the allocator of alloc.h.
 *   - A function that returns an sds may have moved the string: its result replaces
 *     the argument. NULL means that memory ran out; the argument is then as it was,
 *     and still the caller's.
 *   - NULL for a string to work on does nothing, and gives NULL or 0. NULL for a text
 *     to read counts as an empty one. The inline functions take no NULL.
 *   - A text to read must not be part of the string that is changed.
 */
#ifndef __SDS_H
#define __SDS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Growth doubles a string up to this many bytes, and adds at least as many from then on. */
#define SDS_MAX_PREALLOC (1024 * 1024)

#ifdef __cplusplus
extern "C" {
#endif

typedef char *sds;

/* ---- Layout ---------------------------------------------------------------------
 *
 * Five kinds of header, the smallest that fits; the low three bits of the byte before
 * the text, s[-1], tell which. `alloc` is the capacity without header and NUL. The
 * shortest kind keeps its length in the upper five bits of `flags` and has no room
 * to grow. Programs compiled long ago read these headers: they cannot change. */

/* C++ has no flexible array members, but its compilers do, with a warning. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif

struct __attribute__((__packed__)) sdshdr5 {
    unsigned char flags;
    char buf[];
};
struct __attribute__((__packed__)) sdshdr8 {
    uint8_t len;
    uint8_t alloc;
    unsigned char flags;
    char buf[];
};
struct __attribute__((__packed__)) sdshdr16 {
    uint16_t len;
    uint16_t alloc;
    unsigned char flags;
    char buf[];
};
struct __attribute__((__packed__)) sdshdr32 {
    uint32_t len;
    uint32_t alloc;
    unsigned char flags;
    char buf[];
};
struct __attribute__((__packed__)) sdshdr64 {
    uint64_t len;
    uint64_t alloc;
    unsigned char flags;
    char buf[];
};

#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#define SDS_TYPE_5 0
#define SDS_TYPE_8 1
#define SDS_TYPE_16 2
#define SDS_TYPE_32 3
#define SDS_TYPE_64 4
#define SDS_TYPE_MASK 7
#define SDS_TYPE_BITS 3

/* The header of kind T before the text `s`: as an expression, and as a variable `sh`. */
#define SDS_HDR(T, s) ((struct sdshdr##T *)((s) - sizeof(struct sdshdr##T)))
#define SDS_HDR_VAR(T, s) struct sdshdr##T *sh = SDS_HDR(T, s);
/* The length that the flags of the shortest kind hold; `f` is an unsigned char. */
#define SDS_TYPE_5_LEN(f) ((f) >> SDS_TYPE_BITS)

/* Bytes of text. */
static inline size_t sdslen(const sds s) {
    unsigned char flags = (unsigned char)s[-1];
    switch (flags & SDS_TYPE_MASK) {
    case SDS_TYPE_5: return SDS_TYPE_5_LEN(flags);
    case SDS_TYPE_8: return SDS_HDR(8, s)->len;
    case SDS_TYPE_16: return SDS_HDR(16, s)->len;
    case SDS_TYPE_32: return SDS_HDR(32, s)->len;
    case SDS_TYPE_64: return SDS_HDR(64, s)->len;
    }
    return 0;
}

/* Bytes of text that the block can hold. */
static inline size_t sdsalloc(const sds s) {
    unsigned char flags = (unsigned char)s[-1];
    switch (flags & SDS_TYPE_MASK) {
    case SDS_TYPE_5: return SDS_TYPE_5_LEN(flags);
    case SDS_TYPE_8: return SDS_HDR(8, s)->alloc;
    case SDS_TYPE_16: return SDS_HDR(16, s)->alloc;
    case SDS_TYPE_32: return SDS_HDR(32, s)->alloc;
    case SDS_TYPE_64: return SDS_HDR(64, s)->alloc;
    }
    return 0;
}

/* Bytes that can be added without moving the string. */
static inline size_t sdsavail(const sds s) {
    return sdsalloc(s) - sdslen(s);
}

/* Writes the length, which must not exceed sdsalloc(s), into the header. The text and
 * its NUL are the caller's business: sdsIncrLen writes the NUL too. */
static inline void sdssetlen(sds s, size_t newlen) {
    switch (s[-1] & SDS_TYPE_MASK) {
    case SDS_TYPE_5: s[-1] = (char)(SDS_TYPE_5 | (newlen << SDS_TYPE_BITS)); break;
    case SDS_TYPE_8: SDS_HDR(8, s)->len = (uint8_t)newlen; break;
    case SDS_TYPE_16: SDS_HDR(16, s)->len = (uint16_t)newlen; break;
    case SDS_TYPE_32: SDS_HDR(32, s)->len = (uint32_t)newlen; break;
    case SDS_TYPE_64: SDS_HDR(64, s)->len = (uint64_t)newlen; break;
    }
}

/* As sdssetlen, `inc` bytes more. */
static inline void sdsinclen(sds s, size_t inc) {
    sdssetlen(s, sdslen(s) + inc);
}

/* Writes the capacity into the header; for code that allocates blocks itself. */
static inline void sdssetalloc(sds s, size_t newlen) {
    switch (s[-1] & SDS_TYPE_MASK) {
    case SDS_TYPE_5: break;
    case SDS_TYPE_8: SDS_HDR(8, s)->alloc = (uint8_t)newlen; break;
    case SDS_TYPE_16: SDS_HDR(16, s)->alloc = (uint16_t)newlen; break;
    case SDS_TYPE_32: SDS_HDR(32, s)->alloc = (uint32_t)newlen; break;
    case SDS_TYPE_64: SDS_HDR(64, s)->alloc = (uint64_t)newlen; break;
    }
}

/* ---- Making and freeing --------------------------------------------------------- */

/* A string of `initlen` bytes: those at `init`, or zero bytes when `init` is NULL. */
sds sdsnewlen(const void *init, size_t initlen);

/* A copy of a C string. */
sds sdsnew(const char *init);

/* A string without text. */
sds sdsempty(void);

/* A copy of `s`, without its free room. */
sds sdsdup(const sds s);

/* Frees a string; NULL does nothing. free() will not do: the block begins before the text. */
void sdsfree(sds s);

/* The decimal digits of a number. */
sds sdsfromlonglong(long long value);

/* ---- Adding and replacing ------------------------------------------------------- */

/* Adds `len` bytes at `t`. */
sds sdscatlen(sds s, const void *t, size_t len);

/* Adds a C string. */
sds sdscat(sds s, const char *t);

/* Adds another sds. */
sds sdscatsds(sds s, const sds t);

/* Makes `len` bytes at `t` the whole text. */
sds sdscpylen(sds s, const char *t, size_t len);

/* Makes a C string the whole text. */
sds sdscpy(sds s, const char *t);

/* Adds zero bytes until the text has `len` bytes; a longer one stays as it is. */
sds sdsgrowzero(sds s, size_t len);

/* Adds what printf would print, as the C library does it, locale included; up to its
 * first NUL. `ap` is used up. */
sds sdscatvprintf(sds s, const char *fmt, va_list ap);
#ifdef __GNUC__
__attribute__((__format__(__printf__, 2, 3)))
#endif
sds sdscatprintf(sds s, const char *fmt, ...);

/* Adds text by a small, fast formatter, which knows
 *   %s  a C string       %i  int        %u  unsigned int
 *   %S  an sds           %I  long long  %U  unsigned long long
 * and %% for a percent sign; % before any other character is dropped. */
sds sdscatfmt(sds s, const char *fmt, ...);

/* Adds `len` bytes at `p` in double quotes as C would write them: \n \r \t \a \b, a
 * backslash before backslash and quote, \xHH for what does not print. */
sds sdscatrepr(sds s, const char *p, size_t len);

/* ---- Changing in place ---------------------------------------------------------- */

/* Removes the characters of `cset`, and NUL bytes, from both ends. Returns `s`, which
 * never moves. */
sds sdstrim(sds s, const char *cset);

/* Keeps the bytes from index `start` to index `end`, both included; -1 is the last
 * byte, -2 the one before it. An empty range leaves no text. Returns 0, or -1 when the
 * string is longer than ssize_t can tell. */
int sdsrange(sds s, ssize_t start, ssize_t end);

/* Ends the text at its first NUL, after a program has written into it. */
void sdsupdatelen(sds s);

/* Removes the text and keeps the room. */
void sdsclear(sds s);

/* Lower and upper case, byte by byte, as tolower and toupper have it. */
void sdstolower(sds s);
void sdstoupper(sds s);

/* Replaces each byte found among the `setlen` bytes of `from` by the one at the same
 * place in `to`. Returns `s`, which never moves. */
sds sdsmapchars(sds s, const char *from, const char *to, size_t setlen);

/* ---- Comparing, splitting, joining ---------------------------------------------- */

/* Negative, 0 or positive as `s1` comes before, equals or comes after `s2`, by bytes.
 * Only the sign means something. */
int sdscmp(const sds s1, const sds s2);

/* Splits `len` bytes at `s` at each separator of `seplen` bytes. Returns an array for
 * sdsfreesplitres and stores the number of parts in `*count`: one when there is no
 * separator, 0 and an array without strings when `len` is 0. NULL when memory ran out,
 * with *count 0, and when `len` is negative or `seplen` below 1. */
sds *sdssplitlen(const char *s, int len, const char *sep, int seplen, int *count);

/* Splits a line into words as a shell does: blanks separate; "double quotes" know \n \r
 * \t \a \b \xHH; 'single quotes' know only \'. Returns an array for sdsfreesplitres and
 * stores the number of words, 0 for a line of blanks, in `*argc`. NULL, with *argc 0,
 * when a quote is not closed, when something follows the closing one, or when memory
 * ran out. */
sds *sdssplitargs(const char *line, int *argc);

/* Frees an array of `count` strings and the strings. NULL does nothing. */
void sdsfreesplitres(sds *tokens, int count);

/* Joins `argc` C strings, or sds, with a separator between them. */
sds sdsjoin(char **argv, int argc, char *sep);
sds sdsjoinsds(sds *argv, int argc, const char *sep, size_t seplen);

/* ---- Room ----------------------------------------------------------------------- */

/* Makes room for `addlen` more bytes, so that sdsavail(s) >= addlen. The text stays. */
sds sdsMakeRoomFor(sds s, size_t addlen);

/* Adds `incr` to the length and writes the NUL, after bytes were written into the free
 * room, or to cut `-incr` bytes off. It stops at 0 and at the capacity. */
void sdsIncrLen(sds s, int incr);

/* Gives the free room back. */
sds sdsRemoveFreeSpace(sds s);

/* The size and the start of the block in which the string lies. */
size_t sdsAllocSize(sds s);
void *sdsAllocPtr(sds s);

/* The allocator of alloc.h, for arrays that sdsfreesplitres will free. */
void *sds_malloc(size_t size);
void *sds_realloc(void *ptr, size_t size);
void sds_free(void *ptr);

#ifdef __cplusplus
}
#endif

#endif
