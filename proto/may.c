#include "proto/may.h"

#include <string.h>

#include "proto/fetch.h"
#include "proto/message.h"

#define BY(role) (1u << (role))

static const struct may {
        uint8_t type;
        const char *name;
        enum node_role whom;
        unsigned who;            /* BY(role) | … */
        const char *key_prefix;  /* of a FETCH; NULL: any. The first row that fits decides */
} table[] = {
        {MSG_OPEN, "OPEN", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL},
        {MSG_MEDIA, "MEDIA", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL},
        {MSG_MEDIA_MANY, "MEDIA_MANY", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL},
        {MSG_CLOSE, "CLOSE", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL},
        {MSG_CLAIM, "CLAIM", ROLE_ORIGIND, BY(ROLE_TRANSCODERD), NULL},
        {MSG_PUT, "PUT", ROLE_ORIGIND, BY(ROLE_TRANSCODERD), NULL},
        {MSG_END, "END", ROLE_ORIGIND, BY(ROLE_TRANSCODERD), NULL},
        {MSG_FETCH, "FETCH", ROLE_ORIGIND, BY(ROLE_ORIGIND), "/peer/"}, /* what only the store's other copies need */
        {MSG_FETCH, "FETCH", ROLE_ORIGIND, BY(ROLE_ORIGIND) | BY(ROLE_EDGED), NULL},
        {MSG_FETCH, "FETCH", ROLE_EDGED, BY(ROLE_EDGED), NULL},
};
#define ROWS (sizeof(table) / sizeof(table[0]))

static bool key_begins(const struct reader *body, const char *prefix)
{
        struct reader r = *body;
        char key[KEY_MAX + 1];
        reader_str(&r, key, sizeof(key));
        return !r.err && strncmp(key, prefix, strlen(prefix)) == 0;
}

bool may_ask(enum node_role who, enum node_role whom, uint8_t type, const struct reader *body)
{
        for (size_t i = 0; i < ROWS; i++) {
                const struct may *row = &table[i];
                if (row->type == type && row->whom == whom && (!row->key_prefix || key_begins(body, row->key_prefix)))
                        return row->who & BY(who);
        }
        return false;
}

bool may_connect(enum node_role who, enum node_role whom)
{
        for (size_t i = 0; i < ROWS; i++) {
                if (table[i].whom == whom && (table[i].who & BY(who)))
                        return true;
        }
        return false;
}

const char *may_message_name(uint8_t type)
{
        if (type == MSG_HELLO)
                return "HELLO";
        for (size_t i = 0; i < ROWS; i++) {
                if (table[i].type == type)
                        return table[i].name;
        }
        return "an unknown message";
}
