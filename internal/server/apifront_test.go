package server

// apiFront is what the reference of the API begins with.
const apiFront = `# The API

%s

The API is what the command line and the console call; whatever they can do, it can. It is spoken by the
[Connect protocol](https://connectrpc.com/docs/protocol) over TLS at the server's one port, with messages of ` + "`api/keepward/v1`" + ` as JSON or as protobuf. A
client in Go is generated: ` + "`api/keepward/v1/keepwardv1connect`" + `, which the command line itself uses; other languages generate theirs from the
same files. What may change and what may not is in [decisions/api-compatibility.md](../../decisions/api-compatibility.md).

## A call

A POST of the request as JSON to ` + "`/keepward.v1.SERVICE/CALL`" + `. The answer is JSON with status 200.

- **Certificate**: the server's is of the site's own authority. ` + "`ca.pem`" + ` is ` + "`ca:`" + ` of a client file (` + "`keepward login`" + ` writes one), or ` + "`ca/ca.crt`" + ` of the server's data directory.
- **Token**: made by ` + "`keepward api-token create NAME`" + ` ([operator/access.md](../../operator/access.md)). It goes into the header ` + "`Authorization: Bearer TOKEN`" + `. The
  examples have curl read that header from a file ` + "`token.header`" + `, since arguments are seen by every user of a computer:
  ` + "`(umask 077; printf 'Authorization: Bearer %%s\\n' \"$(cat token)\" > token.header)`" + `.
- **JSON**: fields are written ` + "`likeThis`" + `, and those that are empty are left out of answers. 64 bit numbers are texts in answers and may be numbers in requests; times
  are ` + "`\"2026-11-23T20:00:00Z\"`" + `, durations ` + "`\"3600s\"`" + `, bytes (paths of files among them, which need not be text) base64. A field that the server does not know is refused.

## Errors

An answer with another status than 200 is an error. Its ` + "`details`" + ` have a ` + "[`Failure`](messages.md#failure)" + ` in ` + "`debug`" + `: a kind, a code that stays the same over versions, a sentence, and
where there is one a hint. Every code is in [errors.md](../../errors.md).

| kind | status | |
|---|---|---|
| invalid | 400 | the request cannot be meant like that |
| denied | 403 | who calls may not |
| not found | 404 | |
| exists | 409 | |
| busy | 400 | not now: something else has to end first |
| no space | 429 | |
| unavailable | 503 | the server, or a node that it needs, was not reached: try again |
| cancelled | 499 | |
| corrupt, internal | 500 | |

Every call may answer the codes of [` + "`access`" + `](../../errors.md#access) and [` + "`catalog`" + `](../../errors.md#catalog).

## Streams

Calls that watch, or answer much, answer a stream of messages: ` + "`Content-Type: application/connect+json`" + `. Each message, that of the request too, has five bytes before it: one
of flags (0), and the length, four bytes, the highest first. The last one has the flag 2 and is ` + "`{}`" + ` or ` + "`{\"error\": …}`" + `: an error of a stream comes there, with status 200. The examples write
the five bytes with printf. Streams that watch go on until who calls hangs up.

## Calls
`
