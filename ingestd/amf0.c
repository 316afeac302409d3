#include "ingestd/amf0.h"

#include "common/err.h"

/* Type markers, section 2.1. */
enum marker {
        MARKER_NUMBER = 0x00,
        MARKER_BOOLEAN = 0x01,
        MARKER_STRING = 0x02,
        MARKER_OBJECT = 0x03,
        MARKER_NULL = 0x05,
        MARKER_UNDEFINED = 0x06,
        MARKER_REFERENCE = 0x07,
        MARKER_ECMA_ARRAY = 0x08,
        MARKER_OBJECT_END = 0x09,
        MARKER_STRICT_ARRAY = 0x0a,
        MARKER_DATE = 0x0b,
        MARKER_LONG_STRING = 0x0c,
        MARKER_UNSUPPORTED = 0x0d,
        MARKER_XML = 0x0f,
        MARKER_TYPED_OBJECT = 0x10,
        MARKER_AVMPLUS = 0x11, /* the value behind it is AMF3 */
};

static struct amf_value read_value(struct amf0 *in, unsigned depth, amf_property *each, void *arg);

static struct amf_value read_text(struct reader *r, size_t len_bytes)
{
        struct amf_value v = {.type = AMF_STRING, .len_bytes = len_bytes};
        v.text = (const char *)reader_bytes(r, len_bytes);
        return v;
}

static bool at_object_end(struct reader *r)
{
        if (reader_left(r) < 3 || r->p[0] || r->p[1] || r->p[2] != MARKER_OBJECT_END)
                return false;
        reader_skip(r, 3);
        return true;
}

/* Some encoders end the outermost object of a message with the message itself: accepted. */
static void read_properties(struct amf0 *in, unsigned depth, amf_property *each, void *arg)
{
        struct reader *r = &in->r;
        while (!r->err && !at_object_end(r)) {
                if (depth == 1 && reader_left(r) == 0)
                        return;
                struct amf_value key = read_text(r, reader_u16(r));
                const char *from = (const char *)r->p;
                struct amf_value value = read_value(in, depth, NULL, NULL);
                if (r->err)
                        return;
                if ((value.type == AMF_OBJECT || value.type == AMF_ARRAY) && *from != MARKER_AVMPLUS) {
                        value.text = from;
                        value.len_bytes = (size_t)((const char *)r->p - from);
                }
                if (value.type == AMF_NOTHING)
                        reader_fail(r);
                else if (each)
                        each(arg, &key, &value);
        }
}

static void read_elements(struct amf0 *in, unsigned depth)
{
        struct reader *r = &in->r;
        uint32_t count = reader_u32(r);
        for (uint32_t i = 0; i < count && !r->err; i++) {
                if (read_value(in, depth, NULL, NULL).type == AMF_NOTHING && !r->err)
                        reader_fail(r);
        }
}

static struct amf_value read_container(struct amf0 *in, enum marker m, unsigned depth, amf_property *each, void *arg)
{
        struct reader *r = &in->r;
        struct amf_value v = {.type = m == MARKER_STRICT_ARRAY ? AMF_ARRAY : AMF_OBJECT};
        if (++depth > AMF_DEPTH_MAX) {
                r->err = ERR_LIMIT;
                return v;
        }
        if (m == MARKER_STRICT_ARRAY) {
                read_elements(in, depth);
                return v;
        }
        if (m == MARKER_ECMA_ARRAY)
                reader_skip(r, 4); /* the count is a hint, and often wrong */
        if (m == MARKER_TYPED_OBJECT)
                reader_skip(r, reader_u16(r));
        read_properties(in, depth, each, arg);
        return v;
}

static struct amf_value read_value(struct amf0 *in, unsigned depth, amf_property *each, void *arg)
{
        struct reader *r = &in->r;
        struct amf_value v = {.type = AMF_NOTHING};
        if (reader_left(r) == 0)
                return v;
        uint8_t m = reader_u8(r);
        switch (m) {
        case MARKER_NUMBER:
                v = (struct amf_value){.type = AMF_NUMBER, .number = reader_f64(r)};
                break;
        case MARKER_BOOLEAN:
                v = (struct amf_value){.type = AMF_BOOLEAN, .number = reader_u8(r) != 0};
                break;
        case MARKER_STRING:
                v = read_text(r, reader_u16(r));
                break;
        case MARKER_LONG_STRING:
        case MARKER_XML:
                v = read_text(r, reader_u32(r));
                break;
        case MARKER_NULL:
        case MARKER_UNDEFINED:
        case MARKER_UNSUPPORTED:
                v.type = AMF_NULL;
                break;
        case MARKER_OBJECT:
        case MARKER_ECMA_ARRAY:
        case MARKER_STRICT_ARRAY:
        case MARKER_TYPED_OBJECT:
                v = read_container(in, (enum marker)m, depth, each, arg);
                break;
        case MARKER_DATE:
                reader_skip(r, 10);
                v.type = AMF_OTHER;
                break;
        case MARKER_REFERENCE:
                reader_skip(r, 2);
                v.type = AMF_OTHER;
                break;
        case MARKER_AVMPLUS:
                amf3_read(&in->amf3, r, depth, &v, each, arg);
                break;
        default:
                reader_fail(r);
        }
        return r->err ? (struct amf_value){.type = AMF_NOTHING} : v;
}

void amf0_init(struct amf0 *in, const void *data, size_t len)
{
        reader_init(&in->r, data, len);
        in->amf3.text_count = in->amf3.traits_count = 0;
}

struct amf_value amf0_read(struct amf0 *in, amf_property *each, void *arg)
{
        return read_value(in, 0, each, arg);
}

void amf0_write_number(struct writer *w, double v)
{
        writer_u8(w, MARKER_NUMBER);
        writer_f64(w, v);
}

void amf0_write_string(struct writer *w, const char *v)
{
        writer_u8(w, MARKER_STRING);
        writer_str(w, v);
}

void amf0_write_null(struct writer *w)
{
        writer_u8(w, MARKER_NULL);
}

void amf0_write_object(struct writer *w)
{
        writer_u8(w, MARKER_OBJECT);
}

void amf0_write_key(struct writer *w, const char *key)
{
        writer_str(w, key);
}

void amf0_write_end(struct writer *w)
{
        writer_u16(w, 0);
        writer_u8(w, MARKER_OBJECT_END);
}
