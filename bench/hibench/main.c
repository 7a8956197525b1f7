/* hibench: runs one hiredis scenario and prints what it cost, on one line. README.md says what each
 * scenario stands for.
 *
 *   hibench SCENARIO [N]      run it N times
 *   hibench GROWTH SIZE [N]   do work of that size N times
 *   hibench --list            name, group, memory or -, N, N for counting instructions (0: never)
 *   hibench --version         of the headers
 *   hibench --list-growth     name, unit, unit of the size, instructions or time, sizes
 *
 * Every reply is checked, so that a wrong library fails instead of looking fast. */
#include "hibench.h"

#include <signal.h>

#define RUNS(group_, run_, repeats_, traced_) \
    .group = #group_, .run = run_, .repeats = repeats_, .traced_repeats = traced_
#define FORMAT(...) RUNS(format, run_format, __VA_ARGS__)
#define PARSE(...) RUNS(parse, run_parse, __VA_ARGS__)
#define GETS(...) RUNS(async, run_async_gets, __VA_ARGS__), .value_len = VALUE_LEN
#define OBJECTS(...) RUNS(objects, run_objects, __VA_ARGS__), .size = 100
#define PUBSUB(...) RUNS(pubsub, run_pubsub, __VA_ARGS__)
#define LEVEL "*2\r\n:7\r\n"
#define FIELDS(n) "$8\r\nfield:" n "\r\n:" n "\r\n$8\r\nother:" n "\r\n$8\r\nvalue:" n "\r\n"

static const Scenario scenarios[] = {
    {"format-printf", FORMAT(1000000, 5000), .size = 3, .variant = FORMAT_PRINTF},
    {"format-argv", FORMAT(2000000, 5000), .size = 3, .variant = FORMAT_ARGV},
    {"format-sds-argv", FORMAT(2000000, 5000), .size = 3, .variant = FORMAT_SDS},
    {"format-argv-1000", FORMAT(10000, 50), .size = 1001, .variant = FORMAT_ARGV},
    {"parse-status", PARSE(5000000, 5000), .wire = "+OK\r\n"},
    {"parse-int", PARSE(5000000, 5000), .wire = ":1234567\r\n"},
    {"parse-bulk-small", PARSE(5000000, 5000), .wire = "$16\r\n0123456789abcdef\r\n"},
    {"parse-bulk-4k", PARSE(2000000, 5000), .size = 4 * KIB, .compose = compose_bulk},
    {"parse-array-100", PARSE(60000, 200), .size = 100, .compose = compose_strings},
    {"parse-nested", PARSE(500000, 1000), .wire = LEVEL LEVEL LEVEL LEVEL LEVEL LEVEL LEVEL "$4\r\nleaf\r\n"},
#ifdef REDIS_REPLY_MAP
    {"parse-map-resp3", PARSE(300000, 1000),
     .wire = "%10\r\n" FIELDS("11") FIELDS("22") FIELDS("33") FIELDS("44") FIELDS("55")},
    {"parse-double", PARSE(3000000, 5000), .wire = ",1715612345.6789\r\n"},
#endif
    {"parse-error", PARSE(3000000, 5000),
     .wire = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"},
    {"parse-pipeline-16k", PARSE(5000, 5), .size = 16 * KIB, .compose = compose_pipeline},
    {"parse-pipeline-1m", PARSE(20, 1), .size = MIB, .compose = compose_pipeline},
    {"parse-pipeline-64m", PARSE(1, 0), .size = 64 * MIB, .compose = compose_pipeline, .seconds = 5,
     .memory = true},
    {"parse-chunked-bulk-256m", PARSE(1, 1), .size = 256 * MIB, .compose = compose_bulk, .piece = 16 * KIB,
     .memory = true},
    {"parse-byte-by-byte", PARSE(10000, 20), .size = 100, .compose = compose_strings, .piece = 1},
    {"parse-long-line", PARSE(1, 1), .size = 4 * MIB, .compose = compose_line, .piece = KIB},
    {"parse-array-1m", PARSE(4, 1), .size = 1000000, .compose = compose_integers, .piece = 16 * KIB,
     .memory = true},
    {"sync-roundtrip", RUNS(sync, run_sync_roundtrip, 50000, 500)},
    {"sync-pipeline-1000", RUNS(sync, run_sync_pipeline, 1000, 5), .size = 1000, .value_len = VALUE_LEN},
    {"async-pipeline-1", GETS(50000, 500), .size = 1, .variant = SUBMIT_PRINTF},
    {"async-pipeline-100", GETS(8000, 20), .size = 100, .variant = SUBMIT_PRINTF},
    {"async-pipeline-10000", GETS(80, 1), .size = 10000, .variant = SUBMIT_PRINTF},
    {"async-argv-100", GETS(8000, 20), .size = 100, .variant = SUBMIT_ARGV},
    {"async-formatted-100", GETS(15000, 20), .size = 100, .variant = SUBMIT_FORMATTED},
    {"async-bigvalue", RUNS(async, run_async_gets, 4, 1), .size = 1, .value_len = 64 * MIB, .memory = true},
    {"async-backlog", RUNS(async, run_async_backlog, 200000, 5000), .value_len = 512, .memory = true},
    {"connect-churn", RUNS(async, run_connections, 20000, 200)},
    {"pubsub-dispatch-1", PUBSUB(100, 1), .size = 1},
    {"pubsub-dispatch-10000", PUBSUB(100, 1), .size = 10000, .memory = true},
    {"pubsub-dispatch-1000000", PUBSUB(1, 0), .size = 1000000, .memory = true},
    {"objects-none-100", OBJECTS(60000, 200), .variant = OBJECTS_NONE},
    {"objects-own-100", OBJECTS(60000, 200), .variant = OBJECTS_OWN},
    {"tcp-roundtrip", RUNS(tcp, run_sync_roundtrip, 20000, 500), .tcp = true},
    {"tcp-pipeline-1000", RUNS(tcp, run_sync_pipeline, 1000, 5), .size = 1000, .value_len = VALUE_LEN,
     .tcp = true},
    {"tcp-async-100", RUNS(tcp, run_async_gets, 5000, 20), .size = 100, .value_len = VALUE_LEN, .tcp = true,
     .variant = SUBMIT_PRINTF},
    {"tcp-connect-churn", RUNS(tcp, run_connections, 5000, 200), .tcp = true},
#ifdef REDIS_REPLY_PUSH
    {"push-sync-100", RUNS(push, run_push_sync, 5000, 20), .size = 100, .value_len = VALUE_LEN},
    {"push-async-100", RUNS(push, run_push_async, 5000, 20), .size = 100, .value_len = VALUE_LEN},
#endif
    {"contexts-1000-by-10", RUNS(many, run_many, 100, 1), .size = 1000},
    {"contexts-10000", RUNS(memory, run_connections, 10000, 200), .memory = true},
};

static const Scenario *const scenarios_end = scenarios + sizeof scenarios / sizeof *scenarios;

static int list_scenarios(void) {
    for (const Scenario *scenario = scenarios; scenario < scenarios_end; scenario++)
        printf("%s %s %s %" PRIu64 " %" PRIu64 "\n", scenario->name, scenario->group,
               scenario->memory ? "memory" : "-", scenario->repeats, scenario->traced_repeats);
    return 0;
}

static int list_growth(void) {
    for (const Growth *growth = growths; growth->name != NULL; growth++) {
        printf("%s %s %s %s", growth->name, growth->unit, growth->size_unit,
               growth->kernel ? "time" : "instructions");
        for (int i = 0; i < MAX_SIZES && growth->sizes[i] != 0; i++) printf(" %zu", growth->sizes[i]);
        putchar('\n');
    }
    return 0;
}

static int print_result(const char *name) {
    if (result.ops == 0) result.ops = 1; /* nothing but the preparation was asked for */
    printf("%s ns_per_op=%.3f cpu_ns_per_op=%.3f ops=%" PRIu64 " peak_rss_kib=%ld", name,
           (double)result.wall_ns / (double)result.ops, (double)result.cpu_ns / (double)result.ops,
           result.ops, result.peak_kib);
    if (result.start_kib != 0) printf(" grown_kib=%ld", result.peak_kib - result.start_kib);
    if (result.item_bytes != 0) printf(" item_bytes=%.0f", result.item_bytes);
    if (result.item_cpu_ns != 0) printf(" item_cpu_ns=%.0f", result.item_cpu_ns);
    puts(result.truncated ? " truncated=1" : "");
    return 0;
}

static uint64_t number(const char *text, uint64_t least) {
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < least)
        die("%s: not a number that will do", text);
    return value;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) return list_scenarios();
    if (argc == 2 && strcmp(argv[1], "--list-growth") == 0) return list_growth();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("%d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
        return 0;
    }
    if (argc < 2 || argc > 4) die("usage: hibench SCENARIO [N] | GROWTH SIZE [N] | --list | --list-growth");
    signal(SIGPIPE, SIG_IGN);
    for (const Growth *growth = growths; growth->name != NULL; growth++) {
        if (strcmp(growth->name, argv[1]) != 0) continue;
        if (argc < 3) die("%s: which size?", growth->name);
        /* N may be 0: the preparation alone, which instruction counts leave out. */
        growth->run(growth, number(argv[2], 1), argc == 4 ? number(argv[3], 0) : 1);
        return print_result(growth->name);
    }
    for (const Scenario *scenario = scenarios; scenario < scenarios_end; scenario++) {
        if (strcmp(scenario->name, argv[1]) != 0) continue;
        if (argc > 3) die("%s has no sizes", scenario->name);
        scenario->run(scenario, argc == 3 ? number(argv[2], 1) : scenario->repeats);
        return print_result(scenario->name);
    }
    die("no such scenario: %s (see --list)", argv[1]);
}
