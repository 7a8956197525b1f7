/* Target reader: any bytes, cut anywhere, against the reference of resp.c: the same replies, then the
 * same error or none.
 *
 *   flags        see enum
 *   limits       with LIMITS: maxelements, maxdepth, maxbuf / 256
 *   faults       two bytes, see in_faults
 *   refuse       with custom functions: which of their calls returns NULL, 0 for none
 *   n, n sizes   the pieces, used in turn; none: all at once
 *   the rest     what the server sends. With BLOW_UP the byte 1 and another, n, repeat the byte
 *                before them n * 257 times, so that a short input is a big reply. */
#include "resp.h"

#include <stdlib.h>

enum {
    FUNCTIONS = 3,          /* default, custom, no table, an empty table */
    BLOW_UP = 4,
    LIMITS = 8,
    CONTEXT = 16,           /* the bytes come through a context's read function */
    LATE = 32,              /* replies are taken after all is fed */
};

enum { MOST_BYTES = 140000, MOST_PIECES = 1000, MOST_OBJECTS = MOST_BYTES / 3 + 1 };

static struct {
    struct text wire;
    struct text reply;      /* what custom functions were told since the last root */
    struct text got;        /* the library's reply */
    unsigned refuse;        /* custom functions: calls until one returns NULL */
    int refused, roots;     /* roots that the reader or the target own */
    size_t objects;
    uint8_t sizes[16];
    unsigned pieces, piece;
    size_t sent;
} f;

/* ---- Custom functions ----------------------------------------------------------------- */

static struct object {
    long long elements;     /* that it was announced to have */
    long long children;     /* that it got */
} objects[MOST_OBJECTS];

static char mark;

static void *object(const redisReadTask *task, size_t elements) {
    CHECK_INT(task->elements, -1);
    CHECK(task->privdata == &mark);
    if (f.refuse > 0 && --f.refuse == 0) {
        f.refused = 1;
        return NULL;
    }
    if (task->parent == NULL) {
        CHECK_INT(task->idx, -1);
        f.roots++;
        f.objects = 0;
    } else {
        struct object *parent = task->parent->obj;
        CHECK(parent >= objects && parent < objects + f.objects);
        CHECK_INT(task->parent->elements, parent->elements);
        CHECK_INT(task->idx, parent->children);
        parent->children++;
        CHECK(parent->children <= parent->elements);
    }
    CHECK(f.objects < MOST_OBJECTS);
    objects[f.objects].elements = (long long)elements;
    objects[f.objects].children = 0;
    return &objects[f.objects++];
}

static struct text *told(const redisReadTask *task) {
    if (task->parent == NULL) text_clear(&f.reply);
    return &f.reply;
}

static void *make_string(const redisReadTask *task, char *str, size_t len) {
    resp_string(told(task), task->type, str, len);
    return object(task, 0);
}

static void *make_array(const redisReadTask *task, size_t elements) {
    resp_array(told(task), task->type, elements);
    return object(task, elements);
}

static void *make_integer(const redisReadTask *task, long long value) {
    CHECK_INT(task->type, REDIS_REPLY_INTEGER);
    resp_integer(told(task), value);
    return object(task, 0);
}

static void *make_double(const redisReadTask *task, double value, char *str, size_t len) {
    CHECK_INT(task->type, REDIS_REPLY_DOUBLE);
    CHECK_INT(str[len], 0);
    resp_double(told(task), value, str, len);
    return object(task, 0);
}

static void *make_nil(const redisReadTask *task) {
    resp_nil(told(task), task->type);
    return object(task, 0);
}

static void *make_bool(const redisReadTask *task, int value) {
    CHECK_INT(task->type, REDIS_REPLY_BOOL);
    resp_bool(told(task), value);
    return object(task, 0);
}

static void free_object(void *root) {
    CHECK(root == &objects[0]);
    f.roots--;
    CHECK_INT(f.roots, 0);
}

static redisReplyObjectFunctions custom = {
    make_string, make_array, make_integer, make_double, make_nil, make_bool, free_object,
};
static redisReplyObjectFunctions empty;

/* ---- The pieces ------------------------------------------------------------------------ */

static size_t next_piece(void) {
    size_t left = f.wire.len - f.sent, n = left;
    if (f.pieces > 0 && f.piece < MOST_PIECES) {
        uint8_t size = f.sizes[f.piece++ % f.pieces];
        n = size < 240 ? 1u + size : (size - 239u) * 4096u;
    }
    return n < left ? n : left;
}

/* The pieces as what the transport of a context receives. */
static ssize_t receive(redisContext *c, char *buf, size_t cap) {
    (void)c;
    size_t n = next_piece();
    if (n > cap) n = cap;
    memcpy(buf, f.wire.p + f.sent, n);
    f.sent += n;
    return (ssize_t)n;
}

static void close_nothing(redisContext *c) {
    c->fd = REDIS_INVALID_FD;
}

static const redisContextFuncs transport = {.close = close_nothing, .read = receive};

/* ---- Comparing -------------------------------------------------------------------------- */

static void compare(struct resp *r, redisReader *reader, void *reply, int functions) {
    if (!resp_reply(r)) {
        FAIL("a reply, but the reference says %s after %ld bytes", r->err ? r->errstr : "incomplete",
             (long)(r->at - f.wire.p));
    }
    if (planted("disagree")) text_add(&r->text, "!", 1);
    switch (functions) {
    case 0:
        text_clear(&f.got);
        resp_text(&f.got, reply);
        same_text("reply", f.got.p, f.got.len, &r->text);
        freeReplyObject(reply);
        break;
    case 1:
        CHECK(reply == &objects[0]);
        for (size_t i = 0; i < f.objects; i++) CHECK_INT(objects[i].children, objects[i].elements);
        same_text("objects", f.reply.p, f.reply.len, &r->text);
        free_object(reply);
        break;
    default: CHECK_INT((intptr_t)reply, r->type);
    }
    CHECK_INT(reader->ridx, -1);
    CHECK(reader->reply == NULL);
}

/* Takes what is complete; 0 when the reader is in its error state. */
static int take_replies(struct resp *r, redisContext *c, redisReader *reader, int functions) {
    for (;;) {
        void *reply = &mark;
        int status = c != NULL ? redisGetReplyFromReader(c, &reply) : redisReaderGetReply(reader, &reply);
        if (reader->err != 0) {
            CHECK_INT(status, REDIS_ERR);
            if (c == NULL) CHECK(reply == NULL);
            CHECK(reader->buf == NULL && reader->len == 0 && reader->pos == 0);
            CHECK(reader->reply == NULL || functions >= 2);
            return 0;
        }
        CHECK_INT(status, REDIS_OK);
        CHECK(reader->pos <= reader->len);
        CHECK_INT(sdslen(reader->buf), reader->len);
        if (reply == NULL) return 1;
        compare(r, reader, reply, functions);
    }
}

static void finish(struct resp *r, redisReader *reader) {
    if (reader->err == REDIS_ERR_OOM && (f.refused || alloc_failures() > 0)) {
        CHECK_STR(reader->errstr, "Out of memory");
        return;
    }
    if (resp_reply(r)) FAIL("no reply, but the reference has \"%s\"", shown(r->text.p, r->text.len));
    CHECK_INT(reader->err, r->err);
    CHECK_STR(reader->errstr, r->errstr);
}

/* ---- One input --------------------------------------------------------------------------- */

static void read_wire(struct input *in, int blow_up) {
    text_clear(&f.wire);
    text_add(&f.wire, "", 0);
    if (!blow_up) {
        text_add(&f.wire, in->at, in_left(in));
        return;
    }
    while (in_left(in) > 0) {
        char c = (char)in_byte(in);
        if (c != 1 || f.wire.len == 0) {
            text_add(&f.wire, &c, 1);
            continue;
        }
        size_t n = in_byte(in) * 257u;
        c = f.wire.p[f.wire.len - 1];
        if (f.wire.len + n > MOST_BYTES) continue;
        text_fill(&f.wire, c, n);
    }
    if (f.wire.len > MOST_BYTES) f.wire.len = MOST_BYTES;
}

static redisReader *make_reader(int functions) {
    if (functions == 0) return redisReaderCreate();
    return redisReaderCreateWithFunctions(functions == 1 ? &custom : functions == 2 ? NULL : &empty);
}

static void play(struct resp *r, redisContext *c, redisReader *reader, int flags) {
    int functions = flags & FUNCTIONS, good = 1;
    while (good && f.sent < f.wire.len) {
        if (c != NULL) {
            good = redisBufferRead(c) == REDIS_OK;
        } else {
            size_t n = next_piece();
            good = redisReaderFeed(reader, f.wire.p + f.sent, n) == REDIS_OK;
            f.sent += n;
        }
        if (good && !(flags & LATE)) good = take_replies(r, c, reader, functions);
    }
    if (good) good = take_replies(r, c, reader, functions);
    finish(r, reader);
    if (reader->err == 0) return;
    /* It stays. */
    void *reply = &mark;
    CHECK_INT(redisReaderFeed(reader, "+OK\r\n", 5), REDIS_ERR);
    CHECK_INT(redisReaderGetReply(reader, &reply), REDIS_ERR);
    CHECK(reply == NULL);
}

void fuzz_one(struct input *in) {
    static struct resp r;
    int flags = in_byte(in), functions = flags & FUNCTIONS;
    long long limits[3] = {
        REDIS_READER_MAX_ARRAY_ELEMENTS, REDIS_READER_MAX_REPLY_DEPTH, REDIS_READER_MAX_BUF,
    };
    if (flags & LIMITS) {
        limits[0] = in_byte(in) - 1;
        limits[1] = in_byte(in) - 1;
        limits[2] = in_byte(in) * 256;
    }
    struct input faults = *in;
    in_byte(in);
    in_byte(in);
    f.refuse = functions == 1 ? in_byte(in) : 0;
    f.pieces = in_below(in, sizeof(f.sizes));
    for (unsigned i = 0; i < f.pieces; i++) f.sizes[i] = in_byte(in);
    f.refused = f.roots = 0;
    f.sent = f.piece = 0;
    f.objects = 0;
    read_wire(in, flags & BLOW_UP);

    struct text kept = r.text;
    memset(&r, 0, sizeof(r));
    r.text = kept;
    r.at = f.wire.p;
    r.end = f.wire.p + f.wire.len;
    r.maxelements = limits[0];
    r.maxdepth = (int)limits[1];
    r.drops_attributes = (flags & CONTEXT) && functions == 0;
    r.tells_nils = functions == 1;

    in_faults(&faults);
    redisContext *c = flags & CONTEXT ? redisConnectFd(REDIS_INVALID_FD) : NULL;
    redisReader *reader = c != NULL ? c->reader : flags & CONTEXT ? NULL : make_reader(functions);
    if (reader == NULL) {
        CHECK(alloc_failures() > 0);
        return;
    }
    if (c != NULL) {
        c->funcs = &transport;
        if (functions > 0) reader->fn = functions == 1 ? &custom : functions == 2 ? NULL : &empty;
    }
    reader->maxelements = limits[0];
    reader->maxdepth = (int)limits[1];
    reader->maxbuf = (size_t)limits[2];
    reader->privdata = &mark;
    play(&r, c, reader, flags);
    if (c != NULL) redisFree(c);
    else redisReaderFree(reader);
    CHECK_INT(f.roots, 0);
}
