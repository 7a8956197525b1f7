/* SPDX-License-Identifier: BSD-3-Clause
 *
 * read.h - reads Redis replies from a stream of bytes.
 *
 * A reader is fed bytes as they come and gives back one reply at a time. It knows
 * nothing of sockets: contexts (hiredis.h) own a reader each, and a program with a
 * transport of its own uses one directly:
 *
 *     redisReader *r = redisReaderCreate();
 *     void *reply;
 *     size_t n;
 *     while ((n = receive(buf, sizeof(buf))) > 0) {
 *         redisReaderFeed(r, buf, n);
 *         while (redisReaderGetReply(r, &reply) == REDIS_OK && reply != NULL) {
 *             show(reply);
 *             freeReplyObject(reply);
 *         }
 *         if (r->err) {
 *             fprintf(stderr, "%s\n", r->errstr);
 *             break;
 *         }
 *     }
 *     redisReaderFree(r);
 *
 * Both versions of the protocol are understood, without being told which:
 * RESP2 and RESP3, https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
#ifndef __HIREDIS_READ_H
#define __HIREDIS_READ_H

#include <stddef.h>
#include <stdio.h> /* not needed here, but programs have always got it from here */

/* ---- Results and errors ---------------------------------------------------------
 *
 * Functions that return int return one of these two unless they say otherwise. */

#define REDIS_ERR (-1)
#define REDIS_OK 0

/* What `err` of a reader or a context can be; 0 is no error. `errstr` beside it says
 * more. Everything but REDIS_ERR_OOM and REDIS_ERR_PROTOCOL comes from contexts only. */

#define REDIS_ERR_IO 1       /* a system call failed: errno has the cause, errstr its text */
#define REDIS_ERR_OTHER 2    /* see errstr */
#define REDIS_ERR_EOF 3      /* `Server closed the connection` */
#define REDIS_ERR_PROTOCOL 4 /* the server sent what is not RESP, or not what it owed */
#define REDIS_ERR_OOM 5      /* `Out of memory`: the allocator (alloc.h) returned NULL */
#define REDIS_ERR_TIMEOUT 6  /* `Timeout` (async), `recv timeout` */

/* ---- Reply types ----------------------------------------------------------------
 *
 * What a reply is, and the byte it begins with on the wire. Those from DOUBLE on, and
 * `_`, are RESP3's, which a server speaks after HELLO 3. */

#define REDIS_REPLY_STRING 1  /* $ bulk string */
#define REDIS_REPLY_ARRAY 2   /* * array */
#define REDIS_REPLY_INTEGER 3 /* : integer */
#define REDIS_REPLY_NIL 4     /* _ null; also $-1 and *-1, RESP2's nulls */
#define REDIS_REPLY_STATUS 5  /* + simple string, such as OK */
#define REDIS_REPLY_ERROR 6   /* - error, such as ERR unknown command */
#define REDIS_REPLY_DOUBLE 7  /* , double */
#define REDIS_REPLY_BOOL 8    /* # boolean */
#define REDIS_REPLY_MAP 9     /* % map */
#define REDIS_REPLY_SET 10    /* ~ set */
#define REDIS_REPLY_ATTR 11   /* | attribute */
#define REDIS_REPLY_PUSH 12   /* > push */
#define REDIS_REPLY_BIGNUM 13 /* ( big number */
#define REDIS_REPLY_VERB 14   /* = verbatim string */

/* ---- Limits ---------------------------------------------------------------------
 *
 * What the fields of a new reader start with; each may be changed at any time. */

#define REDIS_READER_MAX_BUF (1024 * 16)                   /* maxbuf */
#define REDIS_READER_MAX_ARRAY_ELEMENTS ((1LL << 32) - 1)  /* maxelements */
#define REDIS_READER_MAX_REPLY_DEPTH 1024                  /* maxdepth */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Building objects -----------------------------------------------------------
 *
 * A reader does not know what a reply looks like in memory: it calls a table of
 * functions. redisReaderCreate (hiredis.h) uses the table that makes redisReply
 * trees; a binding to another language brings one that makes its own objects. */

/* One item of a reply being read. Functions that create objects get the task of the
 * item, and reach the object it belongs in through `parent->obj`. */
typedef struct redisReadTask {
    int type;                     /* REDIS_REPLY_*: what this item is */
    long long elements;           /* of an aggregate; -1 until createArray has returned */
    int idx;                      /* place in the parent from 0; -1 at the root.
                                     In a map, even is a key and odd its value */
    void *obj;                    /* what createArray returned; look at it only in a parent */
    struct redisReadTask *parent; /* the enclosing aggregate; NULL at the root */
    void *privdata;               /* the reader's privdata when the aggregate was begun */
} redisReadTask;

/* The functions. Each is called once per item, in the order of the wire, a parent
 * before its children. It returns the new object, which it has put into its parent
 * itself; NULL says that memory ran out, and becomes the reader's error
 * REDIS_ERR_OOM. A member may be NULL, and so may the table: then the number of the
 * reply's type stands for the object, (void *)5 for a status.
 *
 * They must not call redisReaderFeed, redisReaderGetReply or redisReaderFree on the
 * reader that called them. Programs may exchange the table or its members whenever
 * no reply is half read. */
typedef struct redisReplyObjectFunctions {
    /* STRING, STATUS, ERROR, BIGNUM, VERB. The text lies in the reader's buffer: valid
     * during the call only, not NUL-terminated, and its `len` bytes may be overwritten.
     * That of a VERB begins with its format, three letters and a colon: `txt:`. */
    void *(*createString)(const redisReadTask *task, char *str, size_t len);

    /* ARRAY, SET, PUSH, MAP, ATTR: an aggregate that will get `elements` children;
     * keys and values of MAP and ATTR count one each. The number is what the server
     * announced: it deserves no trust until that many children have come. */
    void *(*createArray)(const redisReadTask *task, size_t elements);

    /* INTEGER. */
    void *(*createInteger)(const redisReadTask *task, long long value);

    /* DOUBLE: its value, and the text it had on the wire, a NUL-terminated copy that
     * is valid during the call. */
    void *(*createDouble)(const redisReadTask *task, double value, char *str, size_t len);

    /* NIL. For a null of RESP2 `task->type` is the type that is missing, STRING or ARRAY. */
    void *(*createNil)(const redisReadTask *task);

    /* BOOL: 0 or 1. */
    void *(*createBool)(const redisReadTask *task, int value);

    /* Frees a root object that nobody will get: half built when an error or
     * redisReaderFree came, or unwanted. It frees the children as well. */
    void (*freeObject)(void *object);
} redisReplyObjectFunctions;

/* ---- The reader -----------------------------------------------------------------
 *
 * Made by the library only. A program may read every field; it may write those that
 * say so. `pos < len` exactly when unread bytes are left in the buffer. */
typedef struct redisReader {
    int err;          /* 0 or REDIS_ERR_*; once set it stays, see redisReaderGetReply */
    char errstr[128]; /* what went wrong, NUL-terminated */

    char *buf;    /* an sds (sds.h) with what was fed; NULL after an error */
    size_t pos;   /* bytes of it already read */
    size_t len;   /* bytes in it */

    size_t maxbuf;         /* free room an idle buffer may keep, in bytes; writable.
                              A larger one is given back at the next feed; 0: never */
    long long maxelements; /* elements, or pairs, an aggregate may announce; writable.
                              0 or less: no limit */

    redisReadTask **task; /* the items being read, outermost first */
    int tasks;            /* entries of `task` */
    int ridx;             /* index of the innermost; -1: no reply is half read */
    void *reply;          /* the root object being built, or NULL */

    redisReplyObjectFunctions *fn; /* kept as a pointer, not copied; writable, may be NULL */
    void *privdata;                /* for `fn`, by way of the tasks; writable */

    int maxdepth; /* how deep aggregates may nest; writable. 0 or less: no limit */
} redisReader;

/* Makes a reader whose objects come from `fn`, which stays the caller's and must
 * outlive the reader's use of it; NULL is allowed, see redisReplyObjectFunctions.
 * Returns NULL when memory ran out. */
redisReader *redisReaderCreateWithFunctions(redisReplyObjectFunctions *fn);

/* Frees a reader with everything it has buffered; a half-built root goes to
 * `fn->freeObject`. NULL does nothing. */
void redisReaderFree(redisReader *r);

/* Gives the reader a copy of `len` bytes at `buf`, cut anywhere; nothing is parsed
 * yet. `buf` NULL or `len` 0 does nothing. How much may gather is not limited.
 *
 * REDIS_ERR when the reader was in its error state already, or entered it now:
 *   REDIS_ERR_OOM  `Out of memory` */
int redisReaderFeed(redisReader *r, const char *buf, size_t len);

/* Takes the next complete reply out of what was fed.
 *
 * `*reply` becomes the object, which is the caller's, or NULL when no reply is
 * complete yet: that is REDIS_OK too. With `reply` NULL the object is freed. An item
 * is made as soon as all of its bytes are there; calling again costs no second scan.
 *
 * REDIS_ERR when the stream cannot be read on. `*reply` is NULL then, the half-built
 * root is freed, the buffer is gone, and the error stays: a new reader is the only
 * way on.
 *
 *   REDIS_ERR_PROTOCOL
 *     `Protocol error, got "X" as reply type byte`  X printable, or as in C: "\r", "\x00"
 *     `Bad integer value`                   not decimal, or beyond long long
 *     `Bad double value`, `Double value is too large`  too large to represent, or
 *                                           longer than 325 characters
 *     `Bad nil value`, `Bad bool value`, `Bad bignum value`
 *     `Bad simple string value`             a lone CR or LF in a status or error
 *     `Bad bulk string length`, `Bulk string length out of range`
 *     `Bad bulk string terminator`          no CR LF where the length says it ends
 *     `Verbatim string 4 bytes of content type are missing or incorrectly encoded.`
 *     `Bad multi-bulk length`, `Multi-bulk length out of range`  also above maxelements
 *     `Max nesting depth exceeded`          deeper than maxdepth
 *   REDIS_ERR_OOM
 *     `Out of memory`                       also when a function of `fn` returned NULL
 *
 * Unlike hiredis: the bytes after a bulk string are checked, a double that is too
 * small to represent is zero rather than an error, the NUL byte is no boolean, and
 * the memory for an aggregate grows with the elements that arrive, not with the
 * number that was announced. */
int redisReaderGetReply(redisReader *r, void **reply);

/* ---- Fields by name -------------------------------------------------------------
 *
 * The same as reading or writing the field. */

#define redisReaderSetPrivdata(_r, _p) ((void)(((redisReader *)(_r))->privdata = (_p)))
#define redisReaderGetObject(_r) (((redisReader *)(_r))->reply)
#define redisReaderGetError(_r) (((redisReader *)(_r))->errstr)

#ifdef __cplusplus
}
#endif

#endif
