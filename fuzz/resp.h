/* A reader of RESP that is as plain as can be: the whole input at once, by recursion. It writes each
 * reply as a line of text, which the targets compare with what the library made. */
#ifndef HIREDIS_RS_FUZZ_RESP_H
#define HIREDIS_RS_FUZZ_RESP_H

#include "fuzz.h"

struct resp {
    const char *at, *end;
    /* As the fields of redisReader. */
    long long maxelements;
    int maxdepth;
    int drops_attributes;       /* as a context does */
    int tells_nils;             /* what is missing, as custom functions are told */
    /* Set by resp_reply. */
    struct text text;           /* the reply */
    int type;                   /* its type, REDIS_REPLY_* */
    int err;                    /* REDIS_ERR_*, or 0 */
    char errstr[128];
};

/* Reads one reply: 1, or 0 when it is not complete or there is an error. */
int resp_reply(struct resp *r);

/* The same text for a tree that the library made. */
void resp_text(struct text *out, const redisReply *reply);

/* The parts of the text. */
void resp_string(struct text *out, int type, const char *p, size_t len);
void resp_integer(struct text *out, long long value);
void resp_double(struct text *out, double value, const char *p, size_t len);
void resp_bool(struct text *out, int value);
void resp_nil(struct text *out, int missing);   /* missing: a type, or 0 if it is not told */
void resp_array(struct text *out, int type, size_t elements);

#endif
