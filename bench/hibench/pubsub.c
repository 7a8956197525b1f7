/* pubsub-*: a subscriber of many channels receives messages. */
#include "hibench.h"

enum { CHANNEL_LEN = 10, SUBSCRIBE_BATCH = 1000, ROUND_MIN = 10000, MESSAGE_STRIDE = 7919 };
typedef char Channel[CHANNEL_LEN + 1];

static struct {
    Channel *channels;   /* and one more, whose confirmation announces a round of messages */
    size_t count, round; /* of channels; of messages, spread over them */
    uint64_t confirmed, messages, payload;
    bool closing;
} subscriber;

static size_t channel_of_message(uint64_t message) {
    return (size_t)(message % subscriber.round * MESSAGE_STRIDE % subscriber.count);
}

static size_t batch_size(size_t first) {
    size_t left = subscriber.count - first;
    return left == 0 ? 1 : left < SUBSCRIBE_BATCH ? left : SUBSCRIBE_BATCH;
}

static void script_subscribe(Step *step, size_t first) {
    Buffer *request = &step->request, *reply = &step->reply;
    append_format(request, "*%zu\r\n$9\r\nSUBSCRIBE\r\n", batch_size(first) + 1);
    for (size_t id = first; id < first + batch_size(first); id++) {
        append_bulk(request, subscriber.channels[id], CHANNEL_LEN);
        append_format(reply, "*3\r\n$9\r\nsubscribe\r\n$10\r\n%s\r\n:%zu\r\n", subscriber.channels[id],
                      id + 1);
    }
}

static void on_message(redisAsyncContext *context, void *message, void *batch) {
    (void)context;
    redisReply *reply = message;
    if (reply == NULL && subscriber.closing) return;
    CHECK(reply != NULL && reply->elements == 3 && reply->element[1]->len == CHANNEL_LEN);
    size_t channel;
    if (reply->element[0]->str[0] == 's') {
        channel = subscriber.confirmed < subscriber.count ? subscriber.confirmed++ : subscriber.count;
        CHECK(reply->element[2]->integer == (long long)channel + 1);
    } else {
        channel = channel_of_message(subscriber.messages++);
        CHECK(digest(reply->element[2]) == subscriber.payload);
    }
    CHECK(memcmp(reply->element[1]->str, subscriber.channels[channel], CHANNEL_LEN) == 0);
    CHECK(batch == subscriber.channels[channel / SUBSCRIBE_BATCH * SUBSCRIBE_BATCH] ||
          channel == subscriber.count);
}

static void subscribe(Loop *loop, size_t first) {
    const char *argv[SUBSCRIBE_BATCH + 1] = {"SUBSCRIBE"};
    size_t lens[SUBSCRIBE_BATCH + 1] = {strlen(argv[0])}, count = batch_size(first);
    for (size_t i = 0; i < count; i++) {
        argv[i + 1] = subscriber.channels[first + i];
        lens[i + 1] = CHANNEL_LEN;
    }
    CHECK(redisAsyncCommandArgv(loop->context, on_message, subscriber.channels[first], (int)count + 1, argv,
                                lens) == REDIS_OK);
}

void run_pubsub(const Scenario *scenario, uint64_t repeats) {
    Script script = {.read_size = 64 * KIB};
    Step *step = add_step(&script);
    char *payload = pattern(VALUE_LEN);
    size_t count = subscriber.count = scenario->size;
    subscriber.round = count < ROUND_MIN ? ROUND_MIN : count;
    subscriber.payload = digest_of_text(REDIS_REPLY_STRING, payload, VALUE_LEN);
    subscriber.channels = allocate((count + 1) * sizeof(Channel));
    for (size_t id = 0; id <= count; id++)
        snprintf(subscriber.channels[id], sizeof(Channel), "ch:%07u", (unsigned)id % 10000000);
    for (size_t first = 0; first < count; first += SUBSCRIBE_BATCH) script_subscribe(step, first);
    step = add_step(&script); /* repeats */
    script_subscribe(step, count);
    for (uint64_t i = 0; i < subscriber.round; i++) {
        append_format(&step->reply, "*3\r\n$7\r\nmessage\r\n");
        append_bulk(&step->reply, subscriber.channels[channel_of_message(i)], CHANNEL_LEN);
        append_bulk(&step->reply, payload, VALUE_LEN);
    }
    start_responder(&script);
    Loop loop;
    loop_connect(&loop);
    long before_kib = resident_kib();
    uint64_t started = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t first = 0; first < count; first += SUBSCRIBE_BATCH) subscribe(&loop, first);
    while (subscriber.confirmed < count) loop_turn(&loop);
    if (scenario->memory) {
        result.item_cpu_ns = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - started) / (double)count;
        result.item_bytes = (double)(resident_kib() - before_kib) * KIB / (double)count;
    }
    measure_begin();
    for (uint64_t i = 1; i <= repeats; i++) {
        subscribe(&loop, count);
        while (subscriber.messages < i * subscriber.round) loop_turn(&loop);
    }
    measure_end(subscriber.messages);
    subscriber.closing = true;
    loop_disconnect(&loop);
}
