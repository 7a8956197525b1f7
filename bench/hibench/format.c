/* format-*: commands made and freed. */
#include "hibench.h"

void run_format(const Scenario *scenario, uint64_t repeats) {
    int argc = (int)scenario->size;
    const char **argv = allocate(sizeof *argv * scenario->size);
    size_t *lens = allocate(sizeof *lens * scenario->size);
    Buffer expected = {0};
    append_format(&expected, "*%d\r\n", argc);
    for (int i = 0; i < argc; i++) {
        char *text = pattern(VALUE_LEN);
        if (i == 0) strcpy(text, argc == 3 ? "SET" : "MSET");
        if (i % 2 == 1) sprintf(text, "key:%d", 10000 + i);
        argv[i] = text;
        lens[i] = strlen(text);
        append_bulk(&expected, argv[i], lens[i]);
    }
    measure_begin();
    for (uint64_t i = 0; i < repeats; i++) {
        char *command;
        long long len;
        if (scenario->variant == FORMAT_PRINTF)
            len = redisFormatCommand(&command, "SET key:%d %b", 10001, argv[2], lens[2]);
        else if (scenario->variant == FORMAT_ARGV) len = redisFormatCommandArgv(&command, argc, argv, lens);
        else len = redisFormatSdsCommandArgv(&command, argc, argv, lens);
        CHECK(len == (long long)expected.len && memcmp(command, expected.bytes, expected.len) == 0);
        if (scenario->variant == FORMAT_SDS) redisFreeSdsCommand(command);
        else redisFreeCommand(command);
    }
    measure_end(repeats);
}
