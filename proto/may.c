#include "proto/may.h"

#include <string.h>

#include "proto/fetch.h"
#include "proto/message.h"

#define BY(role) (1u << (role))
#define SMALL_MAX (16u << 10)

static const struct may {
        uint8_t type;
        const char *name;
        enum node_role whom;
        unsigned who;            /* BY(role) | … */
        const char *key_prefix;  /* of a FETCH; NULL: any. The first row that fits decides */
        size_t body_max;         /* bytes of media in it, beside less than SMALL_MAX of other fields */
} table[] = {
        {MSG_OPEN, "OPEN", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL, 0},
        {MSG_MEDIA, "MEDIA", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL, RPC_MESSAGE_MAX_BYTES - SMALL_MAX},
        {MSG_MEDIA_MANY, "MEDIA_MANY", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL, RPC_MESSAGE_MAX_BYTES - SMALL_MAX},
        {MSG_MEDIA_TOLD, "MEDIA_TOLD", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL, RPC_MESSAGE_MAX_BYTES - SMALL_MAX},
        {MSG_CLOSE, "CLOSE", ROLE_TRANSCODERD, BY(ROLE_INGESTD), NULL, 0},
        {MSG_CLAIM, "CLAIM", ROLE_ORIGIND, BY(ROLE_TRANSCODERD), NULL, 0},
        {MSG_PUT, "PUT", ROLE_ORIGIND, BY(ROLE_TRANSCODERD), NULL, BODY_MAX},
        {MSG_END, "END", ROLE_ORIGIND, BY(ROLE_TRANSCODERD), NULL, 0},
        {MSG_FETCH, "FETCH", ROLE_ORIGIND, BY(ROLE_ORIGIND), "/peer/", 0}, /* what only the store's other copies need */
        {MSG_FETCH, "FETCH", ROLE_ORIGIND, BY(ROLE_ORIGIND) | BY(ROLE_EDGED), NULL, 0},
        {MSG_FETCH, "FETCH", ROLE_EDGED, BY(ROLE_EDGED), NULL, 0},
        {MSG_FETCH_OWNED, "FETCH_OWNED", ROLE_EDGED, BY(ROLE_EDGED), NULL, 0}, /* of a sibling */
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

size_t may_message_max(enum node_role who, enum node_role whom)
{
        size_t most = 0;
        for (size_t i = 0; i < ROWS; i++) {
                if (table[i].whom == whom && (table[i].who & BY(who)) && table[i].body_max > most)
                        most = table[i].body_max;
        }
        return most + SMALL_MAX;
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
