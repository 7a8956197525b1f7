/* SPDX-License-Identifier: BSD-3-Clause
 *
 * alloc.h - where the library gets its memory.
 *
 * Contexts, replies, readers, dynamic strings, formatted commands: every block comes
 * from the five functions in hiredisAllocFns as they are at that moment, and goes
 * back to them. They are the C library's until a program brings its own:
 *
 *     hiredisAllocFuncs mine = {my_malloc, my_calloc, my_realloc, my_strdup, my_free};
 *     hiredisSetAllocators(&mine);
 *
 * They may fail. A function that returns NULL never ends the program: the caller of
 * the library gets NULL, or an error REDIS_ERR_OOM with the text `Out of memory`.
 */
#ifndef HIREDIS_ALLOC_H
#define HIREDIS_ALLOC_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h> /* not needed here, but programs have always got it from here */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The functions --------------------------------------------------------------
 *
 * Each keeps the contract of its namesake in the C library, including alignment for
 * any type, realloc(NULL, n) as malloc(n), and free(NULL) as nothing. They run in the
 * middle of the library's work, and must not call any of its functions. */
typedef struct hiredisAllocFuncs {
    void *(*mallocFn)(size_t size);
    void *(*callocFn)(size_t nmemb, size_t size);
    void *(*reallocFn)(void *ptr, size_t size);
    char *(*strdupFn)(const char *str);
    void (*freeFn)(void *ptr);
} hiredisAllocFuncs;

/* Puts the five functions of `ha` in place and returns the five that were there. `ha` is
 * copied. NULL changes nothing; a member that is NULL leaves the function that was there.
 *
 * Do it before anything else, or where blocks of both kinds can be freed by either.
 * No other thread may be in the library meanwhile. */
hiredisAllocFuncs hiredisSetAllocators(hiredisAllocFuncs *ha);

/* Puts the C library's functions back. The same cautions apply. */
void hiredisResetAllocators(void);

/* The functions in use. Programs call them through hi_malloc and its relatives. Who writes
 * to this directly leaves no member NULL. */
extern hiredisAllocFuncs hiredisAllocFns;

/* ---- The same memory for programs -----------------------------------------------
 *
 * For blocks that the library will free, such as a redisReply that a program builds
 * for freeReplyObject, and for freeing the library's. */

static inline void *hi_malloc(size_t size) {
    return hiredisAllocFns.mallocFn(size);
}

/* NULL without asking when nmemb * size does not fit: not every calloc notices. */
static inline void *hi_calloc(size_t nmemb, size_t size) {
    if (size != 0 && nmemb > SIZE_MAX / size)
        return NULL;
    return hiredisAllocFns.callocFn(nmemb, size);
}

static inline void *hi_realloc(void *ptr, size_t size) {
    return hiredisAllocFns.reallocFn(ptr, size);
}

static inline char *hi_strdup(const char *str) {
    return hiredisAllocFns.strdupFn(str);
}

static inline void hi_free(void *ptr) {
    hiredisAllocFns.freeFn(ptr);
}

#ifdef __cplusplus
}
#endif

#endif
