/* objects-*: a reader whose caller builds the replies, as bindings for other languages do. */
#include "hibench.h"

#if HIREDIS_MAJOR >= 1
typedef size_t Elements;
#else
typedef int Elements;
#endif

/* ---- objects-none: nothing is built, only counted ---- */

static uint64_t counted;

static void *count_string(const redisReadTask *task, char *text, size_t len) {
    (void)task, (void)text;
    counted += len;
    return &counted;
}

static void *count_array(const redisReadTask *task, Elements elements) {
    (void)task;
    counted += (uint64_t)elements;
    return &counted;
}

static void *count_integer(const redisReadTask *task, long long value) {
    (void)task;
    counted += (uint64_t)value;
    return &counted;
}

static void *count_nil(const redisReadTask *task) {
    (void)task;
    return &counted;
}

static void free_nothing(void *object) { (void)object; }

/* ---- objects-own: a tree in memory that is reused ---- */

typedef struct Object {
    int type;
    long long integer;
    const char *text;
    size_t len; /* of the text, or how many elements */
    struct Object **elements;
} Object;

static struct {
    _Alignas(max_align_t) char bytes[64 * KIB];
    size_t used;
} arena;

static void *from_arena(size_t size) {
    void *memory = arena.bytes + arena.used;
    arena.used += (size + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
    CHECK(arena.used <= sizeof arena.bytes);
    return memory;
}

static Object *new_object(const redisReadTask *task, Object content) {
    Object *object = from_arena(sizeof *object);
    *object = content;
    object->type = task->type;
    if (task->parent != NULL) ((Object *)task->parent->obj)->elements[task->idx] = object;
    return object;
}

static void *own_string(const redisReadTask *task, char *text, size_t len) {
    char *copy = from_arena(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return new_object(task, (Object){.text = copy, .len = len});
}

static void *own_array(const redisReadTask *task, Elements elements) {
    Object **vector = from_arena((size_t)elements * sizeof *vector);
    return new_object(task, (Object){.len = (size_t)elements, .elements = vector});
}

static void *own_integer(const redisReadTask *task, long long value) {
    return new_object(task, (Object){.integer = value});
}

static void *own_nil(const redisReadTask *task) { return new_object(task, (Object){0}); }

static void append_object(Buffer *wire, const Object *object) {
    if (object->type == REDIS_REPLY_INTEGER) {
        append_format(wire, ":%lld\r\n", object->integer);
    } else if (object->type == REDIS_REPLY_STRING) {
        append_bulk(wire, object->text, object->len);
    } else {
        CHECK(object->type == REDIS_REPLY_ARRAY);
        append_format(wire, "*%zu\r\n", object->len);
        for (size_t i = 0; i < object->len; i++) append_object(wire, object->elements[i]);
    }
}

/* ---- the scenario ---- */

static redisReplyObjectFunctions functions[] = {
    [OBJECTS_NONE] = {.createString = count_string,
                      .createArray = count_array,
                      .createInteger = count_integer,
                      .createNil = count_nil,
                      .freeObject = free_nothing},
    [OBJECTS_OWN] = {.createString = own_string,
                     .createArray = own_array,
                     .createInteger = own_integer,
                     .createNil = own_nil,
                     .freeObject = free_nothing},
};

/* Every other element is an integer. */
static void compose_mixed(Buffer *wire, size_t size, uint64_t *sum) {
    append_format(wire, "*%zu\r\n", size);
    *sum = size;
    for (size_t i = 0; i < size; i += 2) {
        append_format(wire, "$10\r\nitem:%05zu\r\n:%zu\r\n", i, i * 7919);
        *sum += 10 + i * 7919;
    }
}

void run_objects(const Scenario *scenario, uint64_t repeats) {
    Buffer wire = {0}, rewritten = {0};
    uint64_t sum;
    compose_mixed(&wire, scenario->size, &sum);
    redisReader *reader = redisReaderCreateWithFunctions(&functions[scenario->variant]);
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        void *reply = NULL;
        counted = 0;
        arena.used = 0;
        CHECK(redisReaderFeed(reader, wire.bytes, wire.len) == REDIS_OK);
        CHECK(redisReaderGetReply(reader, &reply) == REDIS_OK);
        if (scenario->variant == OBJECTS_NONE) {
            CHECK(reply == &counted && counted == sum);
        } else if (i % KIB == 0) {
            CHECK(reply != NULL);
            rewritten.len = 0;
            append_object(&rewritten, reply);
            CHECK(rewritten.len == wire.len && memcmp(rewritten.bytes, wire.bytes, wire.len) == 0);
        }
    }
    measure_end(repeats);
    redisReaderFree(reader);
}
