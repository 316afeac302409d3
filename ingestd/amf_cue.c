#include "ingestd/amf_cue.h"

#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "ingestd/amf0.h"

#define NEAR_S 60             /* a time that is named further away than this from the message is on another clock */
#define DURATION_MAX_S 86400  /* longer is nonsense */
#define WHOLE_MAX 9007199254740992.0 /* beyond, a double is no whole number */
#define SECTION_TABLE 0xfc    /* of SCTE 35 */
#define SECTION_LEAST 14      /* bytes, up to its command */

static const char *const messages[] = {"onTextData", "onCuePoint", "onAdCue", "onUserDataEvent"};

/* NULL: it is another message. What follows the name is to be read next. */
static const char *read_name(struct amf0 *in)
{
        struct amf_value v = amf0_read(in, NULL, NULL);
        if (amf_value_is(&v, "@setDataFrame"))
                v = amf0_read(in, NULL, NULL);
        for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
                if (amf_value_is(&v, messages[i]))
                        return messages[i];
        return NULL;
}

static json_t *read_object(const uint8_t *data, size_t len_bytes);

/* Null for what JSON has no word for, and for text that is no UTF-8. */
static json_t *to_json(const struct amf_value *v)
{
        json_t *j = NULL;
        if (v->type == AMF_STRING)
                j = json_stringn(v->text, v->len_bytes);
        else if (v->type == AMF_BOOLEAN)
                j = json_boolean(v->number != 0);
        else if (v->type == AMF_NUMBER && fabs(v->number) < WHOLE_MAX && floor(v->number) == v->number)
                j = json_integer((json_int_t)v->number);
        else if (v->type == AMF_NUMBER)
                j = json_real(v->number);
        else if (v->type == AMF_OBJECT && v->text)
                j = read_object((const uint8_t *)v->text, v->len_bytes);
        return j ? j : json_null();
}

static void take_property(void *arg, const struct amf_value *key, const struct amf_value *value)
{
        char name[64];
        if (amf_value_copy(name, sizeof(name), key) && *name)
                json_object_set_new(arg, name, to_json(value)); /* not under a name that is no UTF-8 */
}

static json_t *read_object(const uint8_t *data, size_t len_bytes)
{
        struct amf0 in;
        json_t *j = json_object();
        amf0_init(&in, data, len_bytes);
        amf0_read(&in, take_property, j);
        return j;
}

/* What is meant by a name of which every vendor has its own spelling: SCTE-35, scte35. */
static bool is_scte35(const json_t *data)
{
        const char *type = json_string_value(json_object_get(data, "type"));
        return type && (strcasecmp(type, "scte35") == 0 || strcasecmp(type, "scte-35") == 0);
}

/* Returns the section's length; 0: it is none. */
static size_t read_section(uint8_t *dst, const char *text)
{
        uint8_t raw[CUE_BODY_MAX + 3];
        size_t len = text ? strlen(text) : 0;
        if (!len || len % 4 || len / 4 * 3 > sizeof(raw))
                return 0;
        int n = EVP_DecodeBlock(raw, (const unsigned char *)text, (int)len);
        n -= text[len - 1] == '=';
        n -= text[len - 2] == '=';
        if (n < SECTION_LEAST || raw[0] != SECTION_TABLE)
                return 0;
        size_t says = 3 + ((raw[1] & 0x0fu) << 8 | raw[2]);
        if (says < SECTION_LEAST || says > (size_t)n || says > CUE_BODY_MAX)
                return 0;
        memcpy(dst, raw, says);
        return says;
}

static size_t section_of(uint8_t *dst, const json_t *data)
{
        size_t n = is_scte35(data) ? read_section(dst, json_string_value(json_object_get(data, "cue"))) : 0;
        return n || !is_scte35(data) ? n : read_section(dst, json_string_value(json_object_get(data, "data")));
}

static uint32_t duration_of(const json_t *data)
{
        double s = json_number_value(json_object_get(data, "duration"));
        return s > 0 && s <= DURATION_MAX_S ? (uint32_t)lround(s * 1000) : CUE_NO_DURATION;
}

/* `time` is in seconds of the clock that timestamps count, if it is near; some count from elsewhere, or mean nothing by 0. */
static uint32_t time_of(const json_t *data, uint32_t timestamp_ms)
{
        double s = json_number_value(json_object_get(data, "time"));
        return s > 0 && fabs(s - timestamp_ms / 1000.0) <= NEAR_S ? (uint32_t)llround(s * 1000) : timestamp_ms;
}

static int write_json(struct amf_cue *out, const char *name, json_t *data)
{
        json_t *j = json_pack("{s:s, s:O}", "name", name, "data", data);
        size_t n = json_dumpb(j, (char *)out->body, sizeof(out->body), JSON_COMPACT);
        json_decref(j);
        out->cue.kind = CUE_AMF;
        out->cue.body_len = n;
        return n == 0 ? ERR_PROTO : n > sizeof(out->body) ? ERR_LIMIT : 0;
}

bool amf_cue_is(const uint8_t *data, size_t len_bytes)
{
        struct amf0 in;
        amf0_init(&in, data, len_bytes);
        return read_name(&in) != NULL;
}

int amf_cue_read(struct amf_cue *out, const uint8_t *data, size_t len_bytes, uint32_t timestamp_ms)
{
        struct amf0 in;
        amf0_init(&in, data, len_bytes);
        const char *known = read_name(&in);
        if (!known)
                return in.r.err ? in.r.err : ERR_NOT_FOUND;
        if (len_bytes > AMF_CUE_MESSAGE_MAX)
                return ERR_LIMIT;
        json_t *said = json_object();
        struct amf_value body = amf0_read(&in, take_property, said);
        if (body.type != AMF_OBJECT) {
                json_decref(said);
                said = to_json(&body);
        }
        out->at_ms = time_of(said, timestamp_ms);
        out->cue = (struct cue){.kind = CUE_SCTE35, .duration_ms = duration_of(said), .body = out->body};
        out->cue.body_len = section_of(out->body, said);
        int err = in.r.err ? in.r.err : body.type == AMF_NOTHING || body.type == AMF_NULL ? ERR_NOT_FOUND : 0;
        if (!err && !out->cue.body_len)
                err = write_json(out, known, said);
        json_decref(said);
        return err;
}
