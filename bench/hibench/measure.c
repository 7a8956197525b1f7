/* What a scenario cost: time, processor time and memory. */
#include "hibench.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <unistd.h>

Result result;

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("hibench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

void *allocate(size_t size) {
    void *memory = malloc(size);
    CHECK(memory != NULL);
    return memory;
}

uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* A field of /proc/self/status. ru_maxrss would not do: it outlives exec, so it can be the caller's. */
static long status_kib(const char *field) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, field, strlen(field)) == 0) kib = atol(line + strlen(field));
    if (status != NULL) fclose(status);
    return kib;
}

long resident_kib(void) {
    malloc_trim(0);
    return status_kib("VmRSS:");
}

void measure_begin(void) {
    result.start_kib = resident_kib();
    int refs = open("/proc/self/clear_refs", O_WRONLY);
    if (refs < 0 || write(refs, "5", 1) != 1) result.start_kib = 0; /* 5: peak = present */
    close(refs);
    result.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    result.wall_ns = clock_ns(CLOCK_MONOTONIC);
}

void measure_end(uint64_t ops) {
    result.wall_ns = clock_ns(CLOCK_MONOTONIC) - result.wall_ns;
    result.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - result.cpu_ns;
    result.peak_kib = status_kib("VmHWM:");
    result.ops = ops;
}
