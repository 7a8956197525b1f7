#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is wanted ---- */

static int is_text(const redisReply *r, int type, const char *text) {
    return r->type == type && r->str != NULL && strlen(text) == r->len && memcmp(r->str, text, r->len) == 0;
}

static int elements_met(const struct want *w, const redisReply *r) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements != w->count) return 0;
    for (size_t i = 0; i < w->count; i++)
        if (!want_met(&w->elements[i], r->element[i])) return 0;
    return 1;
}

static int hello_met(const redisReply *r) {
    if (r->type != REDIS_REPLY_MAP) return 0;
    for (size_t i = 0; i + 1 < r->elements; i += 2)
        if (is_text(r->element[i], REDIS_REPLY_STRING, "proto")) return r->element[i + 1]->integer == 3;
    return 0;
}

int want_met(const struct want *w, const redisReply *r) {
    if (r == NULL) return 0;
    switch (w->kind) {
    case WANT_STATUS: return is_text(r, REDIS_REPLY_STATUS, w->text);
    case WANT_ERROR: return r->type == REDIS_REPLY_ERROR && strncmp(r->str, w->text, strlen(w->text)) == 0;
    case WANT_INTEGER: return r->type == REDIS_REPLY_INTEGER && r->integer == w->integer;
    case WANT_AT_MOST: return r->type == REDIS_REPLY_INTEGER && r->integer >= 0 && r->integer <= w->integer;
    case WANT_VALUE: return r->type == REDIS_REPLY_STRING && value_is(w->value, r->str, r->len);
    case WANT_NIL: return r->type == REDIS_REPLY_NIL;
    case WANT_ELEMENTS: return elements_met(w, r);
    case WANT_PONG:
        return r->type == REDIS_REPLY_ARRAY && r->elements == 2 &&
               is_text(r->element[0], REDIS_REPLY_STRING, "pong") &&
               is_text(r->element[1], REDIS_REPLY_STRING, "");
    case WANT_HELLO: return hello_met(r);
    }
    return 0;
}

void want_free(struct want *w) {
    for (size_t i = 0; i < w->count; i++) want_free(&w->elements[i]);
    free(w->elements);
    w->elements = NULL;
    w->count = 0;
}

const char *want_text(const struct want *w) {
    static char text[160];
    static const char *const kinds[] = {"status", "error", "integer", "integer up to", "value",
                                        "nil",    "array", "pong",    "hello"};
    snprintf(text, sizeof(text), "%s \"%s\" %lld, %u bytes from %u, %zu elements", kinds[w->kind],
             w->text != NULL ? w->text : "", w->integer, w->value.len, w->value.offset, w->count);
    return text;
}

const char *reply_words(const redisReply *r) {
    static char text[160];
    if (r == NULL) return "NULL";
    snprintf(text, sizeof(text), "type %d, \"%.60s\", %zu bytes, integer %lld, %zu elements", r->type,
             r->str != NULL ? r->str : "", r->len, r->integer, r->elements);
    for (char *p = text; *p != '\0'; p++)
        if (*p < ' ' || *p > '~') *p = '.';
    return text;
}

/* ---- Commands ---- */

void model_begin(struct model *m, struct rng rng, const char *name, unsigned big_bits) {
    memset(m, 0, sizeof(*m));
    m->rng = rng;
    m->big_bits = big_bits;
    for (int i = 0; i < KEYS; i++) snprintf(m->names[i], KEY_ROOM, "%s:%d", name, i);
    snprintf(m->counter_name, KEY_ROOM, "%s:n", name);
}

void model_end(struct model *m) {
    for (size_t i = 0; i < m->queued_count; i++) want_free(&m->queued[i]);
    m->queued_count = 0;
}

static void add(struct command *c, const char *arg, size_t len) {
    c->argv[c->argc] = arg;
    c->len[c->argc++] = len;
}

static void add_text(struct command *c, const char *text) { add(c, text, strlen(text)); }

static struct value some_value(struct model *m) {
    return value_pick(&m->rng, rng_percent(&m->rng, 3) ? m->big_bits : 11);
}

static struct want value_or_nil(const struct model *m, size_t key) {
    return m->is_set[key] ? (struct want){.kind = WANT_VALUE, .value = m->keys[key]}
                          : (struct want){.kind = WANT_NIL};
}

static void make_echo(struct model *m, struct command *c) {
    struct value v = some_value(m);
    add_text(c, "ECHO");
    add(c, value_bytes(v), v.len);
    c->want = (struct want){.kind = WANT_VALUE, .value = v};
}

static void make_set(struct model *m, struct command *c) {
    size_t key = rng_below(&m->rng, KEYS);
    struct value v = some_value(m);
    add_text(c, "SET");
    add_text(c, m->names[key]);
    add(c, value_bytes(v), v.len);
    m->keys[key] = v;
    m->is_set[key] = 1;
    c->want = (struct want){.kind = WANT_STATUS, .text = "OK"};
}

static void make_get(struct model *m, struct command *c) {
    size_t key = rng_below(&m->rng, KEYS);
    add_text(c, "GET");
    add_text(c, m->names[key]);
    c->want = value_or_nil(m, key);
}

static void make_del(struct model *m, struct command *c) {
    size_t key = rng_below(&m->rng, KEYS);
    add_text(c, "DEL");
    add_text(c, m->names[key]);
    c->want = (struct want){.kind = WANT_INTEGER, .integer = m->is_set[key]};
    m->is_set[key] = 0;
}

static void make_incr(struct model *m, struct command *c) {
    add_text(c, "INCR");
    add_text(c, m->counter_name);
    c->want = (struct want){.kind = WANT_INTEGER, .integer = ++m->counter};
}

static struct want elements(size_t n) {
    struct want w = {.kind = WANT_ELEMENTS, .count = n, .elements = calloc(n, sizeof(w))};
    if (w.elements == NULL) abort();
    return w;
}

static void make_mget(struct model *m, struct command *c) {
    size_t n = rng_between(&m->rng, 1, KEYS);
    c->want = elements(n);
    add_text(c, "MGET");
    for (size_t i = 0; i < n; i++) {
        add_text(c, m->names[i]);
        c->want.elements[i] = value_or_nil(m, i);
    }
}

static void make_wrong(struct model *m, struct command *c) {
    if (rng_percent(&m->rng, 50)) {
        add_text(c, "NOSUCHCOMMAND");
        add_text(c, m->names[0]);
        c->want = (struct want){.kind = WANT_ERROR, .text = "ERR unknown command"};
    } else {
        add_text(c, "LPUSH");
        add_text(c, m->names[0]);
        c->want = (struct want){.kind = WANT_ERROR, .text = "ERR wrong number of arguments"};
    }
}

static void make_ping(struct model *m, struct command *c) {
    add_text(c, "PING");
    c->want = m->pings_only ? (struct want){.kind = WANT_PONG}
                            : (struct want){.kind = WANT_STATUS, .text = "PONG"};
}

static void make_plain(struct model *m, struct command *c) {
    size_t draw = rng_below(&m->rng, 100);
    if (draw < 25) make_echo(m, c);
    else if (draw < 48) make_set(m, c);
    else if (draw < 72) make_get(m, c);
    else if (draw < 87) make_incr(m, c);
    else if (draw < 92) make_del(m, c);
    else make_mget(m, c);
}

/* The commands of a transaction are put off, and so is what they are answered. */
static void make_in_multi(struct model *m, struct command *c) {
    if (--m->in_multi == 0) {
        c->want = elements(m->queued_count);
        memcpy(c->want.elements, m->queued, m->queued_count * sizeof(struct want));
        m->queued_count = 0;
        add_text(c, "EXEC");
        return;
    }
    make_plain(m, c);
    m->queued[m->queued_count++] = c->want;
    c->want = (struct want){.kind = WANT_STATUS, .text = "QUEUED"};
}

void command_make(struct model *m, struct command *c) {
    c->argc = 0;
    c->want = (struct want){0};
    if (m->in_multi > 0) {
        make_in_multi(m, c);
        return;
    }
    size_t draw = rng_below(&m->rng, 100);
    if (m->pings_only || draw < 6) {
        make_ping(m, c);
    } else if (draw < 12) {
        make_wrong(m, c);
    } else if (draw < 17) {
        add_text(c, "MULTI");
        c->want = (struct want){.kind = WANT_STATUS, .text = "OK"};
        m->in_multi = 1 + (int)rng_between(&m->rng, 1, MOST_ARGS - 1);
    } else {
        make_plain(m, c);
    }
}
