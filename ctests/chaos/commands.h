/* Random commands on keys that belong to one connection alone, and what the server must answer to
 * each, word for word. */
#ifndef CHAOS_COMMANDS_H
#define CHAOS_COMMANDS_H

#include <stddef.h>

#include <hiredis/hiredis.h>

#include "random.h"
#include "values.h"

enum want_kind {
    WANT_STATUS,   /* text */
    WANT_ERROR,    /* begins with text */
    WANT_INTEGER,
    WANT_AT_MOST,  /* an integer from 0 to that */
    WANT_VALUE,
    WANT_NIL,
    WANT_ELEMENTS, /* an array */
    WANT_PONG,     /* what a subscribed connection of RESP2 answers to PING */
    WANT_HELLO     /* the server's introduction, in protocol 3 */
};

struct want {
    enum want_kind kind;
    const char *text;
    long long integer;
    struct value value;
    size_t count;
    struct want *elements; /* owned */
};

int want_met(const struct want *w, const redisReply *r);
void want_free(struct want *w);

/* For reports; the text lives until the next call. */
const char *want_text(const struct want *w);
const char *reply_words(const redisReply *r);

enum { MOST_ARGS = 9, KEYS = 8, KEY_ROOM = 48 };

/* A command, good until the next one is made by the same model. */
struct command {
    int argc;
    const char *argv[MOST_ARGS];
    size_t len[MOST_ARGS];
    struct want want; /* the caller's, for want_free */
};

/* What the server knows of a connection once it has executed all that was sent. */
struct model {
    struct rng rng;
    unsigned big_bits;     /* of the longest value */
    int pings_only;        /* subscribed, in RESP2 */
    struct value keys[KEYS];
    int is_set[KEYS];
    long long counter;
    int in_multi;          /* commands until EXEC, and it */
    struct want queued[MOST_ARGS];
    size_t queued_count;
    char names[KEYS][KEY_ROOM], counter_name[KEY_ROOM];
};

/* `name` is the connection's, used nowhere else on this server. */
void model_begin(struct model *m, struct rng rng, const char *name, unsigned big_bits);

/* Wants of a transaction that was not ended. */
void model_end(struct model *m);

void command_make(struct model *m, struct command *c);

#endif
