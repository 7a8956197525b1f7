#include "tally.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

const char *const tally_names[TALLIES] = {
    "connections", "never up", "lost", "timeouts", "commands", "answered", "not answered", "without callback",
    "refused", "subscriptions", "messages", "sessions",
};

const char *plant = "";

static atomic_ulong tallies[TALLIES], broken_so_far;
static atomic_int plant_in = 100;

void tally(enum tally what) { atomic_fetch_add(&tallies[what], 1); }
unsigned long tallied(enum tally what) { return atomic_load(&tallies[what]); }
unsigned long broken_promises(void) { return atomic_load(&broken_so_far); }

void broken(const char *format, ...) {
    char text[600];
    va_list ap;
    if (atomic_fetch_add(&broken_so_far, 1) >= 10) return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    printf("     BROKEN %s\n", text);
    fflush(stdout);
}

int planted(const char *name) {
    return *plant != '\0' && strcmp(plant, name) == 0 && atomic_fetch_sub(&plant_in, 1) == 1;
}
