#include "ingestd/walk.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WAIT_FIRST_MS 100 /* the most that is waited after the first round over all transcoders; then doubled */
#define WAIT_MAX_MS 2000

void walk_reset(struct walk *w)
{
        w->tried_count = 0;
        w->rounds = 0;
}

void walk_begin(struct walk *w)
{
        w->tried_count = 0;
}

static bool was_tried(const struct walk *w, const char *address)
{
        for (unsigned i = 0; i < w->tried_count; i++) {
                if (strcmp(w->tried[i], address) == 0)
                        return true;
        }
        return false;
}

void walk_note(struct walk *w, const char *address)
{
        if (w->tried_count == TRANSCODER_CANDIDATES || was_tried(w, address))
                return;
        snprintf(w->tried[w->tried_count++], sizeof(w->tried[0]), "%s", address);
}

const struct transcoder_candidate *walk_next(const struct walk *w, const struct transcoder_candidate *found, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (!was_tried(w, found[i].address))
                        return &found[i];
        }
        return NULL;
}

size_t walk_without(struct transcoder_candidate *found, size_t count, const char *address)
{
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
                if (strcmp(found[i].address, address) != 0)
                        found[kept++] = found[i];
        }
        return kept;
}

unsigned walk_wait_ms(const struct walk *w, unsigned chance)
{
        unsigned most = WAIT_FIRST_MS;
        for (unsigned i = 0; i < w->rounds && most < WAIT_MAX_MS; i++)
                most *= 2;
        most = most < WAIT_MAX_MS ? most : WAIT_MAX_MS;
        return 1 + chance % most;
}

unsigned walk_again(struct walk *w, unsigned chance)
{
        unsigned wait_ms = walk_wait_ms(w, chance);
        w->rounds++;
        walk_begin(w);
        return wait_ms;
}
