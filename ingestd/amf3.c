#include "ingestd/amf3.h"

#include "common/err.h"

/* Type markers, section 3.1. */
enum marker {
        MARKER_UNDEFINED = 0x00,
        MARKER_NULL = 0x01,
        MARKER_FALSE = 0x02,
        MARKER_TRUE = 0x03,
        MARKER_INTEGER = 0x04,
        MARKER_DOUBLE = 0x05,
        MARKER_STRING = 0x06,
        MARKER_XML_DOCUMENT = 0x07,
        MARKER_DATE = 0x08,
        MARKER_ARRAY = 0x09,
        MARKER_OBJECT = 0x0a,
        MARKER_XML = 0x0b,
        MARKER_BYTE_ARRAY = 0x0c,
        MARKER_VECTOR_INT = 0x0d,
        MARKER_VECTOR_UINT = 0x0e,
        MARKER_VECTOR_DOUBLE = 0x0f,
        MARKER_VECTOR_OBJECT = 0x10,
        MARKER_DICTIONARY = 0x11,
};

/* One value on its way in. */
struct reading {
        struct amf3 *a;
        struct reader *r;
        unsigned depth; /* containers around what is read now */
        amf_property *each;
        void *arg;
};

static struct amf_value read_value(struct reading *in);

/* Section 1.3.1: seven bits a byte, of the fourth all eight. */
static uint32_t read_u29(struct reader *r)
{
        uint32_t v = 0;
        for (int i = 0; i < 3; i++) {
                uint8_t b = reader_u8(r);
                v = v << 7 | (b & 0x7f);
                if (!(b & 0x80))
                        return v;
        }
        return v << 8 | reader_u8(r);
}

static struct amf_value text_value(const uint8_t *p, uint32_t len)
{
        if (!p) /* it is cut short */
                return (struct amf_value){.type = AMF_OTHER};
        return (struct amf_value){.type = AMF_STRING, .text = (const char *)p, .len_bytes = len};
}

static struct amf_value refer_to_text(struct amf3 *a, struct reader *r, uint32_t index)
{
        if (index >= a->text_count)
                reader_fail(r);
        if (r->err || index >= AMF3_TEXTS)
                return (struct amf_value){.type = AMF_OTHER};
        return text_value(a->texts[index].p, a->texts[index].len_bytes);
}

/* Without a marker: as it stands behind one, and as names have it. The empty string is never referred to. */
static struct amf_value read_text(struct amf3 *a, struct reader *r)
{
        uint32_t head = read_u29(r), len = head >> 1;
        if (!(head & 1))
                return refer_to_text(a, r, len);
        const uint8_t *p = reader_bytes(r, len);
        if (len > 0 && !r->err) {
                if (a->text_count < AMF3_TEXTS)
                        a->texts[a->text_count] = (struct amf3_text){p, len};
                a->text_count++;
        }
        return text_value(p, len);
}

/* The next name of members that were named before. Nothing is remembered again. */
static struct amf_value next_name(struct amf3 *a, struct reader *names)
{
        uint32_t head = read_u29(names), len = head >> 1;
        if (!(head & 1))
                return refer_to_text(a, names, len);
        return text_value(reader_bytes(names, len), len);
}

static void read_member(const struct reading *in, const struct amf_value *key)
{
        struct reading inner = *in;
        inner.each = NULL;
        struct amf_value value = read_value(&inner);
        if (in->each && !in->r->err)
                in->each(in->arg, key, &value);
}

/* Named members, up to the empty name. A name that is not remembered names nothing we look for. How many there were. */
static unsigned read_named(const struct reading *in)
{
        for (unsigned count = 0;; count++) {
                struct amf_value key = read_text(in->a, in->r);
                if (in->r->err || (key.type == AMF_STRING && key.len_bytes == 0))
                        return count;
                if (key.type != AMF_STRING)
                        key = text_value((const uint8_t *)"", 0);
                read_member(in, &key);
        }
}

static void read_elements(struct reading *in, uint32_t count)
{
        in->each = NULL;
        for (uint32_t i = 0; i < count && !in->r->err; i++)
                read_value(in);
}

static struct amf_value read_array(struct reading *in, uint32_t dense)
{
        unsigned named = read_named(in);
        read_elements(in, dense);
        return (struct amf_value){.type = named ? AMF_OBJECT : AMF_ARRAY};
}

static bool is_wrapper(const struct amf_value *class_name)
{
        return amf_value_is(class_name, "flex.messaging.io.ArrayCollection") ||
               amf_value_is(class_name, "flex.messaging.io.ObjectProxy");
}

/* Section 3.12. head: without the bit that says that an object follows. */
static struct amf3_traits read_traits(struct reading *in, uint32_t head)
{
        struct amf3 *a = in->a;
        struct amf3_traits t = {0};
        if (!(head & 1)) { /* members as of an object before */
                uint32_t index = head >> 1;
                if (index < a->traits_count && index < AMF3_TRAITS)
                        return a->traits[index];
                reader_fail(in->r);
                return t;
        }
        struct amf_value class_name = read_text(a, in->r);
        if (head & 2) {
                t.wraps = is_wrapper(&class_name);
                if (!t.wraps)
                        reader_fail(in->r);
        } else {
                t.dynamic = head & 4;
                t.count = head >> 3;
                t.names = in->r->p;
                for (uint32_t i = 0; i < t.count && !in->r->err; i++)
                        read_text(a, in->r);
        }
        if (a->traits_count < AMF3_TRAITS)
                a->traits[a->traits_count] = t;
        a->traits_count++;
        return t;
}

static struct amf_value read_object(struct reading *in, uint32_t head)
{
        struct amf3_traits t = read_traits(in, head);
        struct amf_value object = {.type = AMF_OBJECT};
        if (in->r->err)
                return object;
        if (t.wraps)
                return read_value(in);
        struct reader names;
        reader_init(&names, t.names, t.count ? (size_t)(in->r->end - t.names) : 0);
        for (uint32_t i = 0; i < t.count && !in->r->err; i++) {
                struct amf_value key = in->each ? next_name(in->a, &names) : object;
                read_member(in, &key);
        }
        if (t.dynamic)
                read_named(in);
        return object;
}

static struct amf_value skip(struct reading *in, size_t len)
{
        reader_skip(in->r, len);
        return (struct amf_value){.type = AMF_OTHER};
}

static struct amf_value read_vector(struct reading *in, uint8_t marker, uint32_t count)
{
        reader_skip(in->r, 1); /* whether its length may change */
        if (marker != MARKER_VECTOR_OBJECT)
                return skip(in, (size_t)count * (marker == MARKER_VECTOR_DOUBLE ? 8 : 4));
        read_text(in->a, in->r); /* the class of its elements */
        read_elements(in, count);
        return (struct amf_value){.type = AMF_ARRAY};
}

static struct amf_value read_dictionary(struct reading *in, uint32_t count)
{
        reader_skip(in->r, 1); /* whether keys are held weakly */
        read_elements(in, 2 * count);
        return (struct amf_value){.type = AMF_OTHER};
}

/* What is sent once and may be referred to. The first number says which of both it is. */
static struct amf_value read_complex(const struct reading *outer, uint8_t marker)
{
        struct reading in = *outer;
        uint32_t head = read_u29(in.r), length = head >> 1;
        if (!(head & 1))
                return (struct amf_value){.type = AMF_OTHER};
        if (marker == MARKER_XML_DOCUMENT || marker == MARKER_XML)
                return text_value(reader_bytes(in.r, length), length);
        if (marker == MARKER_DATE || marker == MARKER_BYTE_ARRAY)
                return skip(&in, marker == MARKER_DATE ? 8 : length);
        if (++in.depth > AMF_DEPTH_MAX) {
                in.r->err = in.r->err ? in.r->err : ERR_LIMIT;
                return (struct amf_value){.type = AMF_NOTHING};
        }
        if (marker == MARKER_ARRAY)
                return read_array(&in, length);
        if (marker == MARKER_OBJECT)
                return read_object(&in, length);
        return marker == MARKER_DICTIONARY ? read_dictionary(&in, length) : read_vector(&in, marker, length);
}

static struct amf_value read_value(struct reading *in)
{
        uint8_t marker = reader_u8(in->r);
        switch (marker) {
        case MARKER_UNDEFINED:
        case MARKER_NULL:
                return (struct amf_value){.type = AMF_NULL};
        case MARKER_FALSE:
        case MARKER_TRUE:
                return (struct amf_value){.type = AMF_BOOLEAN, .number = marker == MARKER_TRUE};
        case MARKER_INTEGER:
                return (struct amf_value){.type = AMF_NUMBER, .number = (int32_t)(read_u29(in->r) << 3) >> 3};
        case MARKER_DOUBLE:
                return (struct amf_value){.type = AMF_NUMBER, .number = reader_f64(in->r)};
        case MARKER_STRING:
                return read_text(in->a, in->r);
        default:
                if (marker <= MARKER_DICTIONARY)
                        return read_complex(in, marker);
                reader_fail(in->r);
                return (struct amf_value){.type = AMF_NOTHING};
        }
}

void amf3_read(struct amf3 *a, struct reader *r, unsigned depth, struct amf_value *out, amf_property *each, void *arg)
{
        struct reading in = {.a = a, .r = r, .depth = depth, .each = each, .arg = arg};
        *out = read_value(&in);
        if (r->err)
                *out = (struct amf_value){.type = AMF_NOTHING};
}
