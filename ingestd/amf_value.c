#include "ingestd/amf_value.h"

#include <string.h>

#include "common/utf8.h"

bool amf_value_is(const struct amf_value *v, const char *text)
{
        return v->type == AMF_STRING && v->len_bytes == strlen(text) && memcmp(v->text, text, v->len_bytes) == 0;
}

/* So much of the first `most` bytes of a longer text as ends with a whole character. Of what is no UTF-8 all. */
static size_t cut(const char *text, size_t len, size_t most)
{
        const unsigned char *p = (const unsigned char *)text;
        size_t begins = most;
        while (begins > 0 && most - begins < 3 && (p[begins] & 0xc0) == 0x80)
                begins--;
        return begins + utf8_len(p + begins, len - begins) > most ? begins : most;
}

bool amf_value_copy(char *dst, size_t cap, const struct amf_value *v)
{
        size_t n = v->type == AMF_STRING ? strnlen(v->text, v->len_bytes) : 0;
        bool whole = n < cap && (v->type != AMF_STRING || n == v->len_bytes);
        if (n >= cap)
                n = cut(v->text, n, cap - 1);
        if (n)
                memcpy(dst, v->text, n);
        dst[n] = '\0';
        return whole;
}
