#include "ingestd/guesses.h"

#include <string.h>

#include "ingestd/peer_address.h"

static int find(const struct guesses *g, const uint8_t address[16])
{
        for (int i = 0; i < GUESSES_ADDRESSES_MAX; i++) {
                if (g->at[i].level_us && memcmp(g->at[i].address, address, 16) == 0)
                        return i;
        }
        return -1;
}

bool guesses_may_try(const struct guesses *g, const char *address, int64_t now_us)
{
        uint8_t key[16];
        peer_address_key(key, address);
        int i = find(g, key);
        return i < 0 || g->at[i].level_us - now_us <= (GUESSES_AT_ONCE - 1) * GUESS_EVERY_US;
}

void guesses_wrong(struct guesses *g, const char *address, int64_t now_us)
{
        uint8_t key[16];
        peer_address_key(key, address);
        int i = find(g, key);
        if (i < 0) {
                i = 0;
                for (int j = 1; j < GUESSES_ADDRESSES_MAX; j++) {
                        if (g->at[j].level_us < g->at[i].level_us)
                                i = j;
                }
                memcpy(g->at[i].address, key, 16);
                g->at[i].level_us = 0;
        }
        int64_t from = g->at[i].level_us > now_us ? g->at[i].level_us : now_us;
        g->at[i].level_us = from + GUESS_EVERY_US;
}
