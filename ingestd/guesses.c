#include "ingestd/guesses.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void read_address(uint8_t out[16], const char *text)
{
        char ip[INET6_ADDRSTRLEN + 1];
        bool six = *text == '[';
        memset(out, 0, 16);
        snprintf(ip, sizeof(ip), "%.*s", (int)strcspn(text + six, six ? "]" : ":"), text + six);
        if (six && inet_pton(AF_INET6, ip, out) == 1)
                memset(out + 8, 0, 8);
        else if (!six && inet_pton(AF_INET, ip, out + 12) == 1)
                out[10] = out[11] = 0xff;
}

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
        read_address(key, address);
        int i = find(g, key);
        return i < 0 || g->at[i].level_us - now_us <= (GUESSES_AT_ONCE - 1) * GUESS_EVERY_US;
}

void guesses_wrong(struct guesses *g, const char *address, int64_t now_us)
{
        uint8_t key[16];
        read_address(key, address);
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
