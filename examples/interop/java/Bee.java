// A client and a server of bee for Java 17 and newer, in one file and without a dependency.
//
// Written from docs/wire-protocol.md; "§ Frames" in a comment names a section of that page. The parts, top down:
//
//   Frame, FrameDecoder      bytes <-> frames              § Frames, § Limits that every receiver must have
//   FieldWriter, Fields      bytes <-> typed fields        § Fields
//   Hello ... Goaway         frames <-> what they say      § Kinds, § Field types, § Error codes
//   Gzip                     bounded                       § Compression
//   Json                     strict, any size of number    § Requests and bodies
//   ClientProtocol,          one connection, no I/O        § Who may send what, when; § Ids; § Goaway
//   ServerProtocol
//   Wire                     a socket and its two threads
//   Client                   deadlines, cancels, retries   § Advice for who writes a client
//   Server                   limits, drain                 § Hello, and how a server refuses; § Limits
//   Vectors                  replays tests/vectors
//   main                     java Bee.java call | ping | serve | vectors
//
//   try (Bee.Client calc = Bee.Client.of("calc", "127.0.0.1:9000").build()) {
//       System.out.println(calc.call("add", List.of(1, 2)));
//   }

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.GZIPOutputStream;
import java.util.zip.Inflater;

public final class Bee {
    private Bee() {}

    static final int MIB = 1024 * 1024;

    // ── errors: § Error codes ────────────────────────────────────────────────────────────────────────────────────────

    /** Did the handler run? Only after NO may a call that is not idempotent be made again. The order is that of the numbers on the wire. */
    public enum Executed {
        NO,
        MAYBE,
        YES;

        String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Why there is no result. The order is that of the numbers on the wire, from 1. */
    public enum Code {
        REMOTE_ERROR(Executed.YES),
        METHOD_NOT_FOUND(Executed.NO),
        INVALID_ARGUMENT(Executed.NO),
        UNAVAILABLE(Executed.NO),
        DEADLINE_EXCEEDED(Executed.MAYBE),
        OVERLOADED(Executed.NO),
        MESSAGE_TOO_LARGE(Executed.NO),
        CANCELLED(Executed.MAYBE),
        UNAUTHENTICATED(Executed.NO),
        PROTOCOL_ERROR(Executed.MAYBE),
        PLUGIN_FAULT(Executed.MAYBE);

        /** What `executed` is where an error frame does not say it. */
        final Executed byDefault;

        Code(Executed byDefault) {
            this.byDefault = byDefault;
        }

        int number() {
            return ordinal() + 1;
        }

        String text() {
            return name().toLowerCase(Locale.ROOT);
        }

        /** The code of a number; null for one that is not known. */
        static Code of(int number) {
            return number >= 1 && number <= values().length ? values()[number - 1] : null;
        }

        /** Whether another node, or the same one later, may answer: the last column of the table. */
        boolean worthAnotherTry() {
            return this == UNAVAILABLE || this == OVERLOADED || this == PROTOCOL_ERROR || this == PLUGIN_FAULT;
        }
    }

    /** A call that gave no result. */
    public static final class BeeException extends RuntimeException {
        private static final long serialVersionUID = 1;

        public final Code code;
        public final Executed executed;
        /** The class of the handler's exception, for REMOTE_ERROR; else empty. */
        public final String type;
        /** Where the bad argument is, for INVALID_ARGUMENT: {@code $.order.lines[2].qty}; else empty. */
        public final String path;
        /** Milliseconds that the server asks to wait, or null. */
        public final Long retryAfter;
        /** The server's traceback, where it sends one, or null. */
        public final String traceback;
        /** What the application calls its error, {@code OUT_OF_STOCK}: § Errors with meaning. Empty for an exception that nobody meant. */
        public final String applicationCode;
        private final byte[] detailsBody;

        public BeeException(Code code, String message, Executed executed) {
            this(code, message, executed, "", "", null, null);
        }

        public BeeException(Code code, String message, Executed executed, String type, String path, Long retryAfter, String traceback) {
            this(code, message, executed, type, path, retryAfter, traceback, "", NOTHING);
        }

        BeeException(
                Code code, String message, Executed executed, String type, String path, Long retryAfter, String traceback, String applicationCode, byte[] detailsBody) {
            super(message);
            this.code = code;
            this.executed = executed;
            this.type = type;
            this.path = path;
            this.retryAfter = retryAfter;
            this.traceback = traceback;
            this.applicationCode = applicationCode;
            this.detailsBody = detailsBody;
        }

        BeeException with(Executed other) {
            return new BeeException(code, getMessage(), other, type, path, retryAfter, traceback, applicationCode, detailsBody);
        }

        /** What came with the error, as a value; null for nothing. Throws IllegalArgumentException for what is not JSON. */
        public Object details() {
            return detailsBody.length == 0 ? null : Json.parse(detailsBody);
        }

        @Override
        public String toString() {
            String both = type.isEmpty() || applicationCode.isEmpty() || type.equals(applicationCode) ? type + (type.isEmpty() ? applicationCode : "") : type + ", " + applicationCode;
            return code.text() + (both.isEmpty() ? "" : " (" + both + ")") + ": " + getMessage() + " [executed: " + executed.text() + "]";
        }
    }

    /** An error that a handler means: its caller gets REMOTE_ERROR with this code, these details (a value of JSON, or null) and this time to wait (or null). */
    public static final class ServiceException extends RuntimeException {
        private static final long serialVersionUID = 1;

        public final String code;
        public final transient Object details;
        public final Duration retryAfter;

        public ServiceException(String code, String message, Object details, Duration retryAfter) {
            super(message);
            this.code = code;
            this.details = details;
            this.retryAfter = retryAfter;
        }
    }

    static BeeException protocolError(String message) {
        return new BeeException(Code.PROTOCOL_ERROR, message, Executed.MAYBE);
    }

    static BeeException invalidArgument(String path, String message) {
        return new BeeException(Code.INVALID_ARGUMENT, path + ": " + message, Executed.NO, "", path, null, null);
    }

    // ── frames: § Frames ─────────────────────────────────────────────────────────────────────────────────────────────

    static final int VERSION = 1;
    static final int HELLO = 1;
    static final int HELLO_ACK = 2;
    static final int REQUEST = 3;
    static final int RESPONSE = 4;
    static final int ERROR = 5;
    static final int CANCEL = 6;
    static final int PING = 7;
    static final int PONG = 8;
    static final int GOAWAY = 9;
    static final List<String> KINDS = List.of("?", "hello", "hello-ack", "request", "response", "error", "cancel", "ping", "pong", "goaway");
    static final List<String> FORMS = List.of("positional", "named", "mixed", "message");
    static final int POSITIONAL = 0;
    static final int NAMED = 1;
    static final int MIXED = 2;
    static final int COMPRESSED = 0x01;
    static final int HEADER_SIZE = 14;
    static final int LENGTH_SIZE = 4;
    static final int REST = HEADER_SIZE - LENGTH_SIZE; // what every length counts
    static final int MAX_FIELDS = 0xFFFF;
    static final int MAX_HELLO = 65_536; // § Hello: a stranger may not make a server keep more
    static final long MAX_ID = 0x7FFF_FFFFL;
    static final byte[] NOTHING = {};

    static String kindName(int kind) {
        return kind > 0 && kind < KINDS.size() ? KINDS.get(kind) : String.valueOf(kind);
    }

    /** One frame. */
    record Frame(int kind, long id, byte[] fields, byte[] body, boolean compressed, int form) {
        static byte[] encode(int kind, long id, byte[] fields, byte[] body, boolean compressed, int form) {
            if (fields.length > MAX_FIELDS) {
                throw new IllegalArgumentException("the fields have " + fields.length + " bytes, more than " + MAX_FIELDS + ": shorten the metadata");
            }
            return ByteBuffer.allocate(HEADER_SIZE + fields.length + body.length)
                    .putInt(REST + fields.length + body.length)
                    .put((byte) VERSION)
                    .put((byte) kind)
                    .put((byte) (compressed ? COMPRESSED : 0))
                    .put((byte) form)
                    .putInt((int) id)
                    .putShort((short) fields.length)
                    .put(fields)
                    .put(body)
                    .array();
        }

        static byte[] encode(int kind, long id, byte[] fields) {
            return encode(kind, id, fields, NOTHING, false, 0);
        }

        static byte[] encode(int kind, long id) {
            return encode(kind, id, NOTHING);
        }
    }

    /** Turns chunks of a stream into frames. Everything is judged as soon as its bytes are there, and before room is made for what they announce. */
    static final class FrameDecoder {
        private final int maxBody;
        private long longest;
        private byte[] buffer = new byte[512];
        private int size;
        /** Why the stream cannot be read on, behind the frames that feed() returned. */
        BeeException error;

        FrameDecoder(int maxBody) {
            this(maxBody, (long) maxBody + REST + MAX_FIELDS);
        }

        /** A decoder whose first frame may only have so many bytes behind its length: a server's, for a hello. */
        FrameDecoder(int maxBody, long longestFirst) {
            this.maxBody = maxBody;
            this.longest = longestFirst;
        }

        /** Whether a frame has begun and is not complete. */
        boolean partial() {
            return size > 0;
        }

        List<Frame> feed(byte[] data, int offset, int count) {
            List<Frame> frames = new ArrayList<>();
            if (error != null) {
                return frames;
            }
            if (size + count > buffer.length) {
                buffer = Arrays.copyOf(buffer, Math.max(size + count, 2 * buffer.length));
            }
            System.arraycopy(data, offset, buffer, size, count);
            size += count;
            int position = 0;
            while (true) {
                int rest = size - position;
                ByteBuffer head = ByteBuffer.wrap(buffer, position, rest).slice();
                error = judge(head, rest);
                if (error != null) {
                    size = 0;
                    return frames;
                }
                if (rest < HEADER_SIZE || rest - LENGTH_SIZE < head.getInt(0)) {
                    break;
                }
                int end = position + LENGTH_SIZE + head.getInt(0);
                int start = position + HEADER_SIZE;
                int split = start + Short.toUnsignedInt(head.getShort(12));
                frames.add(new Frame(
                        Byte.toUnsignedInt(head.get(5)),
                        Integer.toUnsignedLong(head.getInt(8)),
                        Arrays.copyOfRange(buffer, start, split),
                        Arrays.copyOfRange(buffer, split, end),
                        head.get(6) == COMPRESSED,
                        head.get(7)));
                position = end;
                longest = (long) maxBody + REST + MAX_FIELDS;
            }
            System.arraycopy(buffer, position, buffer, 0, size - position);
            size -= position;
            return frames;
        }

        List<Frame> feed(byte[] data) {
            return feed(data, 0, data.length);
        }

        /** What is wrong with the bytes of a header that are there; null for nothing. */
        private BeeException judge(ByteBuffer head, int rest) {
            if (rest < LENGTH_SIZE) {
                return null;
            }
            long length = Integer.toUnsignedLong(head.getInt(0));
            if (length > longest) {
                byte[] start = new byte[LENGTH_SIZE];
                head.get(0, start);
                String text = new String(start, StandardCharsets.ISO_8859_1);
                if (text.chars().allMatch(letter -> letter >= ' ' && letter <= '~')) {
                    return protocolError("not bee's protocol: the stream goes on with the text '" + text + "'");
                }
                String message = "a frame of " + length + " bytes, with at most " + longest + " allowed here";
                return new BeeException(Code.MESSAGE_TOO_LARGE, message, Executed.MAYBE);
            }
            if (length < REST) {
                return protocolError("a frame of " + length + " bytes cannot hold its header");
            }
            if (rest > LENGTH_SIZE && head.get(4) != VERSION) {
                return protocolError("a frame of protocol version " + Byte.toUnsignedInt(head.get(4)) + "; this side speaks version " + VERSION);
            }
            if (rest < HEADER_SIZE) {
                return null;
            }
            if ((head.get(6) & ~COMPRESSED) != 0) {
                return protocolError("a frame with unknown flags " + Byte.toUnsignedInt(head.get(6)));
            }
            if (Byte.toUnsignedInt(head.get(7)) >= FORMS.size()) {
                return protocolError("a frame with the unknown form " + Byte.toUnsignedInt(head.get(7)));
            }
            long body = length - REST - Short.toUnsignedInt(head.getShort(12));
            if (body < 0) {
                return protocolError("a frame of " + length + " bytes cannot hold its fields");
            }
            if (body > maxBody) {
                return new BeeException(Code.MESSAGE_TOO_LARGE, "a body of " + body + " bytes, with at most " + maxBody + " allowed here", Executed.MAYBE);
            }
            return null;
        }
    }

    // ── fields: § Fields ─────────────────────────────────────────────────────────────────────────────────────────────

    static final int METHOD = 0x01;
    static final int TIME_LEFT = 0x02;
    static final int METADATA = 0x03;
    static final int BAGGAGE = 0x04;
    static final int DEDUPE_KEY = 0x05;
    static final int ERROR_CODE = 0x10;
    static final int MESSAGE = 0x11;
    static final int EXECUTED = 0x12;
    static final int RETRY_AFTER = 0x13;
    static final int ERROR_TYPE = 0x14;
    static final int PATH = 0x15;
    static final int TRACEBACK = 0x16;
    static final int APPLICATION_CODE = 0x17;
    static final int SERVICE = 0x20;
    static final int CODEC = 0x21;
    static final int COMPRESSOR = 0x22;
    static final int TOKEN = 0x23;
    static final int SERVICE_VERSION = 0x24;
    static final int EPOCH = 0x25;
    static final int MAX_BODY = 0x26;
    static final int LAST_ID = 0x30;
    static final int STATUS = 0x31;
    static final int CRITICAL = 0x80;

    static final int MAX_MESSAGE = 8 * 1024;
    static final int MAX_DETAILS = 64 * 1024;

    /** The fields that belong to each kind of frame; others are passed over, unless they are critical. */
    static final Map<Integer, Set<Integer>> FIELDS_OF = Map.of(
            HELLO, Set.of(SERVICE, CODEC, COMPRESSOR, TOKEN, MAX_BODY),
            HELLO_ACK, Set.of(SERVICE, SERVICE_VERSION, EPOCH, MAX_BODY),
            REQUEST, Set.of(METHOD, TIME_LEFT, METADATA, BAGGAGE, DEDUPE_KEY),
            ERROR, Set.of(ERROR_CODE, MESSAGE, EXECUTED, RETRY_AFTER, ERROR_TYPE, PATH, TRACEBACK, APPLICATION_CODE),
            PONG, Set.of(STATUS),
            GOAWAY, Set.of(LAST_ID, ERROR_CODE, MESSAGE));

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Strict: what is not UTF-8 is an error and no question mark. */
    static String decodeUtf8(byte[] bytes, int offset, int count) throws CharacterCodingException {
        return StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT)
                .decode(ByteBuffer.wrap(bytes, offset, count))
                .toString();
    }

    /** Puts fields together; what is null is left out. */
    static final class FieldWriter {
        private final ByteArrayOutputStream block = new ByteArrayOutputStream();

        FieldWriter bytes(int type, byte[] value) {
            if (value == null) {
                return this;
            }
            if (value.length > 0xFFFF) {
                throw new IllegalArgumentException("a field of " + value.length + " bytes, more than 65535");
            }
            block.write(type);
            block.write(value.length >> 8);
            block.write(value.length);
            block.writeBytes(value);
            return this;
        }

        FieldWriter text(int type, String value) {
            return bytes(type, value == null ? null : utf8(value));
        }

        /** Text for people, cut where it is too long. */
        FieldWriter clipped(int type, String value, int limit) {
            return text(type, value == null || utf8(value).length <= limit ? value : value.substring(0, Math.min(value.length(), limit / 4)) + "...");
        }

        FieldWriter number(int type, Long value, int size) {
            if (value == null) {
                return this;
            }
            long largest = (1L << (8 * size)) - 1;
            byte[] bytes = ByteBuffer.allocate(8).putLong(Math.max(0, Math.min(value, largest))).array();
            return bytes(type, Arrays.copyOfRange(bytes, 8 - size, 8));
        }

        FieldWriter pairs(int type, Map<String, String> pairs) {
            pairs.forEach((key, value) -> {
                byte[] name = utf8(key);
                if (name.length < 1 || name.length > 255) {
                    throw new IllegalArgumentException("the key '" + key + "' must have 1 to 255 bytes");
                }
                byte[] text = utf8(value);
                bytes(type, ByteBuffer.allocate(1 + name.length + text.length).put((byte) name.length).put(name).put(text).array());
            });
            return this;
        }

        byte[] done() {
            return block.toByteArray();
        }
    }

    /** The fields of one frame. */
    static final class Fields {
        private final Map<Integer, List<byte[]>> values = new HashMap<>();

        Fields(int kind, byte[] block) {
            Set<Integer> known = FIELDS_OF.getOrDefault(kind, Set.of());
            int position = 0;
            while (position < block.length) {
                if (position + 3 > block.length) {
                    throw protocolError("a field's head is cut short");
                }
                int type = Byte.toUnsignedInt(block[position]);
                int start = position + 3;
                position = start + (Byte.toUnsignedInt(block[start - 2]) << 8 | Byte.toUnsignedInt(block[start - 1]));
                if (position > block.length) {
                    throw protocolError("the field " + type + " is longer than its frame");
                }
                if (known.contains(type)) {
                    List<byte[]> same = values.computeIfAbsent(type, one -> new ArrayList<>());
                    if (!same.isEmpty() && type != METADATA && type != BAGGAGE) {
                        throw protocolError("the field " + type + " is there twice");
                    }
                    same.add(Arrays.copyOfRange(block, start, position));
                } else if (type >= CRITICAL) {
                    throw protocolError("the critical field " + type + " is not known here");
                }
            }
        }

        byte[] bytes(int type) {
            List<byte[]> found = values.get(type);
            return found == null ? null : found.get(0);
        }

        String text(int type, String otherwise) {
            byte[] value = bytes(type);
            return value == null ? otherwise : decode(value, 0, value.length);
        }

        Long number(int type, int size) {
            byte[] value = bytes(type);
            if (value == null) {
                return null;
            }
            if (value.length != size) {
                throw protocolError("the field " + type + " has " + value.length + " bytes, not " + size);
            }
            return new BigInteger(1, value).longValue();
        }

        Map<String, String> pairs(int type) {
            Map<String, String> pairs = new LinkedHashMap<>();
            for (byte[] value : values.getOrDefault(type, List.of())) {
                int size = value.length == 0 ? 0 : Byte.toUnsignedInt(value[0]);
                if (size < 1 || size >= value.length) {
                    throw protocolError("a pair whose key length does not fit");
                }
                pairs.put(decode(value, 1, size), decode(value, 1 + size, value.length - 1 - size));
            }
            return pairs;
        }

        static <T> T required(T value, String what) {
            if (value == null) {
                throw protocolError(what + " is missing");
            }
            return value;
        }

        private static String decode(byte[] value, int offset, int count) {
            try {
                return decodeUtf8(value, offset, count);
            } catch (CharacterCodingException error) {
                throw protocolError("a text that is not UTF-8");
            }
        }
    }

    // ── messages: § Kinds, § Field types ─────────────────────────────────────────────────────────────────────────────

    /** The client's first frame. Null for what is not said. */
    record Hello(String service, String codec, String compressor, String token, Long maxBody) {
        byte[] frame() {
            byte[] fields = new FieldWriter()
                    .text(SERVICE, service).text(CODEC, codec).text(COMPRESSOR, compressor).text(TOKEN, token).number(MAX_BODY, maxBody, 4).done();
            return Frame.encode(HELLO, 0, fields);
        }

        static Hello parse(byte[] block) {
            Fields fields = new Fields(HELLO, block);
            String compressor = fields.text(COMPRESSOR, "");
            return new Hello(
                    Fields.required(fields.text(SERVICE, null), "the service"),
                    Fields.required(fields.text(CODEC, null), "the codec"),
                    compressor.isEmpty() ? null : compressor,
                    fields.text(TOKEN, null),
                    fields.number(MAX_BODY, 4));
        }
    }

    /** The server's answer to a hello. */
    record HelloAck(String service, String version, byte[] epoch, Long maxBody) {
        byte[] frame() {
            byte[] fields = new FieldWriter().text(SERVICE, service).text(SERVICE_VERSION, version).bytes(EPOCH, epoch).number(MAX_BODY, maxBody, 4).done();
            return Frame.encode(HELLO_ACK, 0, fields);
        }

        static HelloAck parse(byte[] block) {
            Fields fields = new Fields(HELLO_ACK, block);
            byte[] epoch = fields.bytes(EPOCH);
            return new HelloAck(fields.text(SERVICE, ""), fields.text(SERVICE_VERSION, ""), epoch == null ? NOTHING : epoch, fields.number(MAX_BODY, 4));
        }
    }

    /** What a request says beside its body. */
    record Request(String method, int form, Long timeLeft, Map<String, String> metadata, Map<String, String> baggage, byte[] dedupeKey) {
        byte[] frame(long id, byte[] body, boolean compressed) {
            byte[] fields = new FieldWriter()
                    .text(METHOD, method)
                    .pairs(METADATA, metadata)
                    .pairs(BAGGAGE, baggage)
                    .number(TIME_LEFT, timeLeft, 4)
                    .bytes(DEDUPE_KEY, dedupeKey)
                    .done();
            return Frame.encode(REQUEST, id, fields, body, compressed, form);
        }

        static Request parse(byte[] block, int form) {
            Fields fields = new Fields(REQUEST, block);
            String method = Fields.required(fields.text(METHOD, null), "the method");
            return new Request(method, form, fields.number(TIME_LEFT, 4), fields.pairs(METADATA), fields.pairs(BAGGAGE), fields.bytes(DEDUPE_KEY));
        }
    }

    static byte[] responseFrame(long id, byte[] body, boolean compressed) {
        return Frame.encode(RESPONSE, id, NOTHING, body, compressed, 0);
    }

    static byte[] errorFrame(long id, BeeException error) {
        byte[] fields = new FieldWriter()
                .number(ERROR_CODE, (long) error.code.number(), 2)
                .number(EXECUTED, (long) error.executed.ordinal(), 1)
                .clipped(MESSAGE, error.getMessage(), MAX_MESSAGE)
                .number(RETRY_AFTER, error.retryAfter, 4)
                .clipped(ERROR_TYPE, error.type.isEmpty() ? null : error.type, 255)
                .clipped(PATH, error.path.isEmpty() ? null : error.path, 1024)
                .clipped(TRACEBACK, error.traceback, 4 * MAX_MESSAGE)
                .clipped(APPLICATION_CODE, error.applicationCode.isEmpty() ? null : error.applicationCode, 255)
                .done();
        return Frame.encode(ERROR, id, fields, error.detailsBody, false, 0);
    }

    static BeeException parseError(byte[] block, byte[] body) {
        Fields fields = new Fields(ERROR, block);
        int number = Fields.required(fields.number(ERROR_CODE, 2), "the error code").intValue();
        Long said = fields.number(EXECUTED, 1);
        if (said != null && said >= Executed.values().length) {
            throw protocolError("the unknown value " + said + " for executed");
        }
        Executed executed = said == null ? null : Executed.values()[said.intValue()];
        String message = fields.text(MESSAGE, "");
        Code code = Code.of(number);
        if (code == null) { // of a newer server: what it says of the handler is all that can be relied on
            code = executed == Executed.NO ? Code.UNAVAILABLE : Code.REMOTE_ERROR;
            message = "error code " + number + ": " + message;
        }
        return new BeeException(
                code,
                message,
                executed == null ? code.byDefault : executed,
                fields.text(ERROR_TYPE, ""),
                fields.text(PATH, ""),
                fields.number(RETRY_AFTER, 4),
                fields.text(TRACEBACK, null),
                fields.text(APPLICATION_CODE, ""),
                body);
    }

    /** The server takes no more requests here. UNAVAILABLE is a drain. */
    record Goaway(long lastId, Code code, String message) {
        byte[] frame() {
            byte[] fields = new FieldWriter()
                    .number(LAST_ID, lastId, 4).number(ERROR_CODE, (long) code.number(), 2).clipped(MESSAGE, message, MAX_MESSAGE).done();
            return Frame.encode(GOAWAY, 0, fields);
        }

        static Goaway parse(byte[] block) {
            Fields fields = new Fields(GOAWAY, block);
            long lastId = Fields.required(fields.number(LAST_ID, 4), "the last id");
            Long number = fields.number(ERROR_CODE, 2);
            Code code = number == null ? null : Code.of(number.intValue());
            return new Goaway(lastId, code == null ? Code.UNAVAILABLE : code, fields.text(MESSAGE, ""));
        }
    }

    /** A server's health. One that is not known (a newer server) gets no new calls. */
    enum Status {
        SERVING,
        DRAINING;

        byte[] frame(long id) {
            return Frame.encode(PONG, id, new FieldWriter().number(STATUS, (long) ordinal(), 1).done());
        }

        static Status parse(byte[] block) {
            return Fields.required(new Fields(PONG, block).number(STATUS, 1), "the status") == 0 ? SERVING : DRAINING;
        }
    }

    // ── compression: § Compression ───────────────────────────────────────────────────────────────────────────────────

    /** RFC 1952. Java's own GZIPInputStream passes over whatever stands behind the end, so the members are read here. */
    static final class Gzip {
        private static final int HEADER = 10;
        private static final int TRAILER = 8;
        private static final int HEADER_CHECKSUM = 2;
        private static final int EXTRA = 4;
        private static final int NAME = 8;
        private static final int COMMENT = 16;

        static byte[] deflate(byte[] body) {
            ByteArrayOutputStream packed = new ByteArrayOutputStream();
            try (GZIPOutputStream gzip = new GZIPOutputStream(packed)) {
                gzip.write(body);
            } catch (IOException error) {
                throw new AssertionError("a buffer in memory cannot fail", error);
            }
            return packed.toByteArray();
        }

        /** Inflates to {@code limit} bytes at most; the buffer grows with what is inflated, and one byte more than the limit is never kept. */
        static byte[] inflate(byte[] body, int limit, Executed executed) {
            ByteArrayOutputStream inflated = new ByteArrayOutputStream();
            try {
                int position = 0;
                do {
                    position = member(body, position, limit, inflated, executed);
                } while (position < body.length);
            } catch (DataFormatException | IndexOutOfBoundsException error) {
                throw new BeeException(Code.PROTOCOL_ERROR, "the body is not gzip, or is cut short", executed);
            }
            return inflated.toByteArray();
        }

        private static int member(byte[] body, int start, int limit, ByteArrayOutputStream inflated, Executed executed) throws DataFormatException {
            int position = header(body, start);
            CRC32 checksum = new CRC32();
            Inflater inflater = new Inflater(true);
            try {
                inflater.setInput(body, position, body.length - position);
                byte[] part = new byte[8192];
                while (!inflater.finished()) {
                    int count = inflater.inflate(part);
                    if (count == 0 && !inflater.finished()) {
                        throw new DataFormatException("cut short");
                    }
                    if (inflated.size() + count > limit) {
                        throw new BeeException(Code.MESSAGE_TOO_LARGE, "the body inflates to more than " + limit + " bytes", executed);
                    }
                    checksum.update(part, 0, count);
                    inflated.write(part, 0, count);
                }
                position += (int) inflater.getBytesRead();
                if (little(body, position) != (int) checksum.getValue() || little(body, position + 4) != (int) inflater.getBytesWritten()) {
                    throw new DataFormatException("wrong checksum");
                }
                return position + TRAILER;
            } finally {
                inflater.end();
            }
        }

        /** Where the deflated bytes begin. */
        private static int header(byte[] body, int start) throws DataFormatException {
            if (body[start] != 0x1f || body[start + 1] != (byte) 0x8b || body[start + 2] != 8 || (body[start + 3] & 0xe0) != 0) {
                throw new DataFormatException("no gzip");
            }
            int flags = body[start + 3];
            int position = start + HEADER;
            if ((flags & EXTRA) != 0) {
                position += 2 + (Byte.toUnsignedInt(body[position]) | Byte.toUnsignedInt(body[position + 1]) << 8);
            }
            for (int text : new int[] {NAME, COMMENT}) {
                if ((flags & text) != 0) {
                    while (body[position++] != 0) {
                        // up to the zero that ends it
                    }
                }
            }
            position += (flags & HEADER_CHECKSUM) != 0 ? 2 : 0;
            Objects.checkIndex(position, body.length + 1);
            return position;
        }

        private static int little(byte[] body, int position) {
            int value = 0;
            for (int index = 3; index >= 0; index--) {
                value = value << 8 | Byte.toUnsignedInt(body[position + index]);
            }
            return value;
        }
    }

    // ── JSON: § Requests and bodies ──────────────────────────────────────────────────────────────────────────────────

    /**
     * Strict JSON (RFC 8259): Map, List, String, Boolean, null; integers are Long or BigInteger, other numbers Double, or BigDecimal where a double would
     * lose digits. Of a key that stands twice the last one counts.
     */
    static final class Json {
        private static final int MAX_DEPTH = 500;
        private static final int MAX_DIGITS = 4000; // reading a number of n digits takes n * n steps
        private static final Pattern NUMBER = Pattern.compile("-?(?:0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?");

        private final String text;
        private int at;
        private int depth;

        private Json(String text) {
            this.text = text;
        }

        /** Raises IllegalArgumentException for what is not JSON, and never anything else. */
        static Object parse(byte[] bytes) {
            try {
                Json json = new Json(decodeUtf8(bytes, 0, bytes.length));
                Object value = json.value();
                json.blanks();
                return json.at == json.text.length() ? value : json.fail("something behind its end");
            } catch (CharacterCodingException error) {
                throw new IllegalArgumentException("it is not UTF-8");
            }
        }

        static byte[] write(Object value) {
            StringBuilder out = new StringBuilder();
            write(value, out);
            return utf8(out.toString());
        }

        private Object value() {
            blanks();
            char first = peek();
            switch (first) {
                case '{':
                    return object();
                case '[':
                    return array();
                case '"':
                    return string();
                case 't':
                    return word("true", true);
                case 'f':
                    return word("false", false);
                case 'n':
                    return word("null", null);
                default:
                    return number();
            }
        }

        private Map<String, Object> object() {
            Map<String, Object> map = new LinkedHashMap<>();
            enter();
            if (!skip('}')) {
                do {
                    blanks();
                    String key = string();
                    expect(':');
                    map.put(key, value());
                } while (skip(','));
                expect('}');
            }
            depth--;
            return map;
        }

        private List<Object> array() {
            List<Object> list = new ArrayList<>();
            enter();
            if (!skip(']')) {
                do {
                    list.add(value());
                } while (skip(','));
                expect(']');
            }
            depth--;
            return list;
        }

        private void enter() {
            at++;
            if (++depth > MAX_DEPTH) {
                fail("nested deeper than " + MAX_DEPTH);
            }
        }

        private String string() {
            if (peek() != '"') {
                fail("a text was expected");
            }
            StringBuilder out = new StringBuilder();
            for (at++; peek() != '"'; at++) {
                char letter = peek();
                if (letter < ' ') {
                    fail("a control character in a text");
                }
                out.append(letter == '\\' ? escaped() : letter);
            }
            at++;
            return out.toString();
        }

        private char escaped() {
            at++;
            int known = "\"\\/bfnrt".indexOf(peek());
            if (known >= 0) {
                return "\"\\/\b\f\n\r\t".charAt(known);
            }
            if (peek() != 'u' || at + 4 >= text.length() || !text.substring(at + 1, at + 5).matches("[0-9a-fA-F]{4}")) {
                fail("an unknown escape");
            }
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 3, at + 1), 16);
        }

        private Object number() {
            Matcher found = NUMBER.matcher(text).region(at, text.length());
            if (!found.lookingAt()) {
                fail("a value was expected");
            }
            String digits = found.group();
            if (digits.length() > MAX_DIGITS) {
                fail("a number of more than " + MAX_DIGITS + " digits");
            }
            at = found.end();
            if (found.group(1) == null && found.group(2) == null) {
                return digits.length() <= 18 ? (Object) Long.valueOf(digits) : shorter(new BigInteger(digits));
            }
            try {
                BigDecimal exact = new BigDecimal(digits);
                double near = exact.doubleValue();
                return Double.isFinite(near) && new BigDecimal(Double.toString(near)).compareTo(exact) == 0 ? (Object) near : exact;
            } catch (NumberFormatException error) {
                return fail("a number with an exponent that is too large");
            }
        }

        private static Object shorter(BigInteger value) {
            return value.bitLength() < Long.SIZE ? (Object) value.longValue() : value;
        }

        private Object word(String word, Object value) {
            if (!text.startsWith(word, at)) {
                fail("a value was expected");
            }
            at += word.length();
            return value;
        }

        private void blanks() {
            while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private char peek() {
            return at < text.length() ? text.charAt(at) : (char) (int) fail("it is cut short");
        }

        private boolean skip(char letter) {
            blanks();
            boolean there = at < text.length() && text.charAt(at) == letter;
            at += there ? 1 : 0;
            return there;
        }

        private void expect(char letter) {
            if (!skip(letter)) {
                fail("'" + letter + "' was expected");
            }
        }

        private Integer fail(String what) {
            throw new IllegalArgumentException(what + " (character " + at + ")");
        }

        private static void write(Object value, StringBuilder out) {
            if (value instanceof Map<?, ?> map) {
                out.append('{');
                String comma = "";
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    out.append(comma);
                    writeText(String.valueOf(entry.getKey()), out);
                    out.append(':');
                    write(entry.getValue(), out);
                    comma = ",";
                }
                out.append('}');
            } else if (value instanceof Iterable<?> items) {
                out.append('[');
                String comma = "";
                for (Object item : items) {
                    out.append(comma);
                    write(item, out);
                    comma = ",";
                }
                out.append(']');
            } else if (value instanceof CharSequence || value instanceof Character || value instanceof Enum<?>) {
                writeText(value.toString(), out);
            } else if ((value instanceof Double || value instanceof Float) && !Double.isFinite(((Number) value).doubleValue())) {
                throw new IllegalArgumentException("JSON has no number for " + value);
            } else if (value == null || value instanceof Boolean || value instanceof Number) {
                out.append(value);
            } else {
                throw new IllegalArgumentException("a value of " + value.getClass().getName() + " cannot be written as JSON");
            }
        }

        private static void writeText(String text, StringBuilder out) {
            out.append('"');
            for (int index = 0; index < text.length(); index++) {
                char letter = text.charAt(index);
                if (letter == '"' || letter == '\\') {
                    out.append('\\').append(letter);
                } else if (letter < ' ' || Character.isSurrogate(letter)) { // as an escape also half of a pair can be sent
                    out.append(String.format("\\u%04x", (int) letter));
                } else {
                    out.append(letter);
                }
            }
            out.append('"');
        }
    }

    // ── state machines: § Who may send what, when ────────────────────────────────────────────────────────────────────

    /** What an answer means for who waits: exactly one of body, status and error is there. */
    record Settled(long id, byte[] body, Status status, BeeException error) {}

    /** What there is to write for a new request, and its id. */
    record Started(long id, byte[] bytes) {}

    /** The client's end of one connection, without I/O. Not thread-safe. */
    static final class ClientProtocol {
        private enum Waits {
            REQUEST,
            PING
        }

        private final FrameDecoder decoder;
        private final String compressor;
        private final int maxInflated;
        private final Map<Long, Waits> waiting = new TreeMap<>();
        private byte[] hello;
        private long lastId;
        private boolean ended;
        HelloAck ack;
        Goaway goaway;
        BeeException error;

        ClientProtocol(Hello hello, int maxBody, int maxInflated) {
            this.hello = hello.frame();
            this.compressor = hello.compressor();
            this.decoder = new FrameDecoder(maxBody);
            this.maxInflated = maxInflated;
        }

        /** Whether a new request may be sent. */
        boolean usable() {
            return goaway == null && error == null && !ended && lastId < MAX_ID;
        }

        boolean idle() {
            return waiting.isEmpty();
        }

        /** Raises where the server would not take the body: that costs this call and not the connection. */
        Started request(Request request, byte[] body, boolean compressed) {
            if (ack != null && ack.maxBody() != null && body.length > ack.maxBody()) {
                String message = "a body of " + body.length + " bytes, and the server takes " + ack.maxBody() + ": split the call";
                throw new BeeException(Code.MESSAGE_TOO_LARGE, message, Executed.NO);
            }
            byte[] bytes = request.frame(lastId + 1, body, compressed);
            return begin(Waits.REQUEST, bytes);
        }

        Started ping() {
            return begin(Waits.PING, Frame.encode(PING, lastId + 1));
        }

        /** Forget a request; the bytes that tell the server so. */
        byte[] cancel(long id) {
            waiting.remove(id);
            return Frame.encode(CANCEL, id);
        }

        private Started begin(Waits what, byte[] bytes) {
            lastId++;
            waiting.put(lastId, what);
            byte[] before = hello;
            hello = NOTHING;
            return new Started(lastId, ByteBuffer.allocate(before.length + bytes.length).put(before).put(bytes).array());
        }

        List<Settled> receive(byte[] data, int count) {
            List<Settled> settled = new ArrayList<>();
            if (error != null || ended) {
                return settled;
            }
            for (Frame frame : decoder.feed(data, 0, count)) {
                try {
                    take(frame, settled);
                } catch (BeeException broken) {
                    error = broken;
                    break;
                }
            }
            error = error == null ? decoder.error : error;
            if (error != null) {
                settleRest(error, settled);
            }
            return settled;
        }

        /** The connection is gone: what still waits may have run. */
        List<Settled> end(String reason) {
            List<Settled> settled = new ArrayList<>();
            ended = true;
            settleRest(new BeeException(Code.UNAVAILABLE, reason, Executed.MAYBE), settled);
            return settled;
        }

        private void take(Frame frame, List<Settled> settled) {
            int kind = frame.kind();
            if (kind == GOAWAY) {
                goaway = Goaway.parse(frame.fields());
                passOver(settled);
            } else if (kind == HELLO_ACK && ack == null && goaway == null) {
                ack = HelloAck.parse(frame.fields());
            } else if ((kind == RESPONSE || kind == ERROR || kind == PONG) && ack != null) {
                Waits what = waiting.remove(frame.id());
                if (what != null) { // else it was given up: the answer has crossed the cancel
                    settled.add(answer(what, frame));
                }
            } else {
                throw protocolError("the server sent a frame of kind " + kindName(kind) + ", which it may not send now");
            }
        }

        /** An answer that makes no sense costs its own request only. */
        private Settled answer(Waits what, Frame frame) {
            long id = frame.id();
            try {
                if (frame.kind() == ERROR) {
                    return new Settled(id, null, null, parseError(frame.fields(), frame.body()));
                }
                if (what == Waits.PING && frame.kind() == PONG) {
                    return new Settled(id, null, Status.parse(frame.fields()), null);
                }
                if (what == Waits.REQUEST && frame.kind() == RESPONSE) {
                    return new Settled(id, frame.compressed() ? inflate(frame.body()) : frame.body(), null, null);
                }
                throw protocolError("a frame of kind " + kindName(frame.kind()) + " is no answer to a " + what.name().toLowerCase(Locale.ROOT));
            } catch (BeeException broken) {
                return new Settled(id, null, null, broken);
            }
        }

        private byte[] inflate(byte[] body) {
            if (!"gzip".equals(compressor)) {
                throw new BeeException(Code.PROTOCOL_ERROR, "a compressed body, and the hello named no compressor", Executed.YES);
            }
            return Gzip.inflate(body, maxInflated, Executed.YES);
        }

        /** § Goaway: what is above the last id did not run and will not. If it is no drain, the rest gets no answer. */
        private void passOver(List<Settled> settled) {
            for (Iterator<Long> ids = waiting.keySet().iterator(); ids.hasNext(); ) {
                long id = ids.next();
                if (id > goaway.lastId()) {
                    ids.remove();
                    settled.add(new Settled(id, null, null, new BeeException(goaway.code(), goaway.message(), Executed.NO)));
                }
            }
            if (goaway.code() != Code.UNAVAILABLE) {
                settleRest(new BeeException(goaway.code(), goaway.message(), Executed.MAYBE), settled);
            }
        }

        private void settleRest(BeeException reason, List<Settled> settled) {
            waiting.keySet().forEach(id -> settled.add(new Settled(id, null, null, reason.with(Executed.MAYBE))));
            waiting.clear();
        }
    }

    /** The server's end of one connection, without I/O. Not thread-safe. */
    static final class ServerProtocol {
        enum State {
            HELLO,
            OPEN,
            GOING,
            REFUSED
        }

        private final FrameDecoder decoder;
        State state = State.HELLO;
        long lastId;
        /** Why the connection has to end: then {@link #leave} with its code. */
        BeeException error;

        ServerProtocol(int maxBody) {
            decoder = new FrameDecoder(maxBody, MAX_HELLO - LENGTH_SIZE);
        }

        boolean partial() {
            return decoder.partial();
        }

        /** The frames in a chunk; each is passed to {@link #check} as its turn comes, and then {@link #streamError} is looked at. */
        List<Frame> receive(byte[] data, int count) {
            return state == State.REFUSED || error != null ? List.of() : decoder.feed(data, 0, count);
        }

        BeeException streamError() {
            return error != null ? error : decoder.error;
        }

        /** Whether a frame is to be acted on. Where not, it is to be dropped, or it was an error, which is in {@link #error} then. */
        boolean check(Frame frame) {
            int kind = frame.kind();
            if (state == State.REFUSED || error != null) {
                return false;
            }
            if (state == State.HELLO) {
                error = kind == HELLO ? null : protocolError("the first frame is of kind " + kindName(kind) + ", not a hello");
                return error == null;
            }
            if (kind == REQUEST) {
                if (state == State.GOING) {
                    return false; // the goaway has said that it does not run
                }
                if (frame.id() <= lastId || frame.id() > MAX_ID) {
                    error = protocolError("the request id " + frame.id() + " does not follow " + lastId);
                    return false;
                }
                lastId = frame.id();
                return true;
            }
            if (kind != CANCEL && kind != PING) {
                error = protocolError("the client sent a frame of kind " + kindName(kind) + ", which it may not send");
                return false;
            }
            return true;
        }

        byte[] accept(HelloAck ack) {
            state = State.OPEN;
            return ack.frame();
        }

        /** The goaway of a drain (UNAVAILABLE on an open connection), of a refusal, or after an error. */
        byte[] leave(Code code, String message) {
            boolean drains = code == Code.UNAVAILABLE && streamError() == null && (state == State.OPEN || state == State.GOING);
            state = drains ? State.GOING : State.REFUSED;
            return new Goaway(lastId, code, message).frame();
        }
    }

    // ── a socket ─────────────────────────────────────────────────────────────────────────────────────────────────────

    static ThreadFactory daemons(String name) {
        AtomicInteger number = new AtomicInteger();
        return work -> {
            Thread thread = new Thread(work, "bee-" + name + "-" + number.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
    }

    /** A socket with a thread that reads and one that writes, so that nobody who calls or answers waits for the network. */
    static final class Wire implements Closeable {
        interface Listener {
            void received(byte[] data, int count);

            void ended(String reason);
        }

        private static final int PIECE = 64 * 1024;

        private final Socket socket;
        private final Listener listener;
        private final ThreadFactory threads;
        private final Object lock = new Object();
        private final ArrayDeque<byte[]> outgoing = new ArrayDeque<>();
        private long queued;
        private boolean finishing;
        private boolean closed;
        private volatile long writingSince; // of nanoTime; 0 when nothing is being written

        Wire(Socket socket, String name, Listener listener) throws IOException {
            this.socket = socket;
            this.listener = listener;
            this.threads = daemons(name);
            socket.setTcpNoDelay(true); // a call is one small write that must not wait
            socket.setKeepAlive(true);
        }

        void start() {
            threads.newThread(this::read).start();
            threads.newThread(this::write).start();
        }

        /** Put bytes in line. */
        void send(byte[] bytes) {
            synchronized (lock) {
                if (!finishing && !closed) {
                    outgoing.add(bytes);
                    queued += bytes.length;
                    lock.notifyAll();
                }
            }
        }

        /** Bytes that the peer has not taken. */
        long queued() {
            synchronized (lock) {
                return queued;
            }
        }

        /** Wait until the peer has taken all but so many bytes of what is in line, or the socket is closed. */
        void awaitRoom(long most) throws InterruptedException {
            synchronized (lock) {
                while (queued > most && !closed) {
                    lock.wait(); // whoever closes a stuck socket wakes it: see Server.sweep
                }
            }
        }

        /** Whether the peer has not taken a byte for so long. */
        boolean stuckFor(Duration time) {
            long since = writingSince;
            return since != 0 && System.nanoTime() - since > time.toNanos();
        }

        /** Close the sending half when all that is in line has left; reading goes on. */
        void finish() {
            synchronized (lock) {
                finishing = true;
                lock.notifyAll();
            }
        }

        @Override
        public void close() {
            synchronized (lock) {
                closed = true;
                lock.notifyAll();
            }
            try {
                socket.close();
            } catch (IOException error) {
                // it is closed all the same
            }
        }

        private void read() {
            String reason = "the peer closed the connection";
            try (InputStream in = socket.getInputStream()) {
                byte[] data = new byte[PIECE];
                for (int count = in.read(data); count >= 0; count = in.read(data)) {
                    listener.received(data, count);
                }
            } catch (IOException error) {
                reason = String.valueOf(error.getMessage());
            } finally {
                close();
                listener.ended(reason);
            }
        }

        private void write() {
            try {
                OutputStream out = socket.getOutputStream();
                for (byte[] bytes = next(); bytes != null; bytes = next()) {
                    for (int at = 0; at < bytes.length; at += PIECE) {
                        writingSince = System.nanoTime() | 1;
                        out.write(bytes, at, Math.min(PIECE, bytes.length - at));
                    }
                    writingSince = 0;
                    synchronized (lock) {
                        queued -= bytes.length;
                        lock.notifyAll();
                    }
                }
                socket.shutdownOutput();
            } catch (IOException | InterruptedException error) {
                // The reader sees the end of the socket too, and what the peer may have said before it.
            }
        }

        /** The next bytes in line; null at the end. */
        private byte[] next() throws InterruptedException {
            synchronized (lock) {
                while (outgoing.isEmpty() && !finishing && !closed) {
                    lock.wait();
                }
                return closed ? null : outgoing.poll();
            }
        }
    }

    // ── client: § Advice for who writes a client ─────────────────────────────────────────────────────────────────────

    /** What one call wants; immutable. {@code named} are arguments by name behind those by position; {@code timeout} null is the client's. */
    public record CallOptions(
            Duration timeout, boolean idempotent, Map<String, Object> named, Map<String, String> metadata, Map<String, String> baggage, byte[] dedupeKey) {
        public static final CallOptions NONE = new CallOptions(null, false, Map.of(), Map.of(), Map.of(), null);

        public CallOptions withTimeout(Duration other) {
            return new CallOptions(other, idempotent, named, metadata, baggage, dedupeKey);
        }

        /** It may run more than once, so it is tried again also when it may have run. */
        public CallOptions withIdempotent(boolean other) {
            return new CallOptions(timeout, other, named, metadata, baggage, dedupeKey);
        }

        public CallOptions withNamed(Map<String, Object> other) {
            return new CallOptions(timeout, idempotent, other, metadata, baggage, dedupeKey);
        }

        public CallOptions withMetadata(Map<String, String> other) {
            return new CallOptions(timeout, idempotent, named, other, baggage, dedupeKey);
        }

        public CallOptions withBaggage(Map<String, String> other) {
            return new CallOptions(timeout, idempotent, named, metadata, other, dedupeKey);
        }
    }

    /** A client of one service; its calls share one connection. Thread-safe. An interrupt gives a call up. */
    public static final class Client implements Closeable {
        private static final long FIRST_PAUSE = 20; // milliseconds, doubled with each try
        private static final long LONGEST_PAUSE = 1000;
        private static final long MAX_QUEUED = 16L * MIB; // bytes that wait for a server that does not read

        private final Builder settings;
        private final Set<Connection> connections = ConcurrentHashMap.newKeySet();
        private final ReentrantLock dialing = new ReentrantLock();
        private volatile Connection current;
        private volatile boolean closed;
        private int next;

        /** The settings of a client, with their defaults. */
        public static final class Builder {
            private final String service;
            private final List<String> addresses;
            private Duration timeout = Duration.ofSeconds(10);
            private Duration connectTimeout = Duration.ofSeconds(1);
            private int retries = 2;
            private String compressor;
            private int compressAbove = 2 * MIB;
            private int maxBody = 2 * MIB;
            private int maxInflated = 64 * MIB;
            private String token;

            private Builder(String service, List<String> addresses) {
                this.service = service;
                this.addresses = addresses;
            }

            /** For a whole call, all tries included. */
            public Builder timeout(Duration value) {
                timeout = value;
                return this;
            }

            public Builder connectTimeout(Duration value) {
                connectTimeout = value;
                return this;
            }

            /** Further tries of a call that provably did not run, or that is idempotent. */
            public Builder retries(int value) {
                retries = value;
                return this;
            }

            /** Use gzip: for bodies above so many bytes, and for replies. */
            public Builder gzip(int above) {
                compressor = "gzip";
                compressAbove = above;
                return this;
            }

            /** Bytes that a body may have on the wire, both ways. */
            public Builder maxBody(int value) {
                maxBody = value;
                return this;
            }

            /** Bytes that a reply may have once it is inflated. */
            public Builder maxInflated(int value) {
                maxInflated = value;
                return this;
            }

            public Builder token(String value) {
                token = value;
                return this;
            }

            /** No network yet: the first call connects. */
            public Client build() {
                return new Client(this);
            }
        }

        /** A client of the nodes of a service, each {@code host:port}; when one fails the next is taken. */
        public static Builder of(String service, String... addresses) {
            return new Builder(service, List.of(addresses));
        }

        private Client(Builder settings) {
            this.settings = settings;
        }

        public Object call(String method, Object args) {
            return call(method, args, CallOptions.NONE);
        }

        /**
         * Calls a method.
         *
         * @param method {@code add}, or {@code Stats.mean} for a method of a named object
         * @param args a List by position, or a Map by parameter name; what JSON holds
         * @return what JSON holds: see {@link Json}
         * @throws BeeException when there is no result
         */
        public Object call(String method, Object args, CallOptions options) {
            Duration timeout = options.timeout() == null ? settings.timeout : options.timeout();
            Deadline deadline = new Deadline(timeout);
            boolean mixed = !options.named().isEmpty();
            int form = mixed ? MIXED : args instanceof Map ? NAMED : POSITIONAL;
            byte[] plain;
            try {
                plain = Json.write(mixed ? List.of(args, options.named()) : args);
            } catch (IllegalArgumentException error) {
                throw invalidArgument("$", error.getMessage());
            }
            byte[] body = packed(plain);
            Request request = new Request(method, form, 0L, options.metadata(), options.baggage(), options.dedupeKey());
            Settled answer = tries(request, body, body != plain, options.idempotent(), deadline);
            try {
                return Json.parse(answer.body());
            } catch (IllegalArgumentException error) {
                throw new BeeException(Code.PROTOCOL_ERROR, "the result is not JSON: " + error.getMessage(), Executed.YES);
            }
        }

        /** "serving" or "draining", asked on a connection of its own: that shows whether a new client would get in. */
        public String ping() {
            Deadline deadline = new Deadline(settings.timeout);
            Connection connection = dial(deadline);
            try {
                return connection.attempt(protocol -> protocol.ping(), deadline).status().name().toLowerCase(Locale.ROOT);
            } finally {
                connection.retire();
            }
        }

        /** Gives up what is under way, and closes all connections. */
        @Override
        public void close() {
            closed = true;
            connections.forEach(Connection::abandon);
        }

        private byte[] packed(byte[] body) {
            byte[] best = body;
            if (settings.compressor != null && body.length > settings.compressAbove) {
                byte[] packed = Gzip.deflate(body);
                best = packed.length < body.length ? packed : body;
            }
            if (best.length > settings.maxBody) {
                String message = "a body of " + best.length + " bytes is over maxBody (" + settings.maxBody + " bytes): split the call";
                throw new BeeException(Code.MESSAGE_TOO_LARGE, message, Executed.NO);
            }
            return best;
        }

        private Settled tries(Request request, byte[] body, boolean compressed, boolean idempotent, Deadline deadline) {
            Executed worst = Executed.NO; // one try that may have run makes the call so
            for (int tries = 1; ; tries++) {
                Connection connection = null;
                try {
                    connection = connected(deadline);
                    return connection.attempt(
                            protocol -> {
                                long left = deadline.millisecondsUp(); // up: a deadline is never made shorter on its way
                                Request timed = new Request(request.method, request.form, left, request.metadata, request.baggage, request.dedupeKey);
                                return protocol.request(timed, body, compressed);
                            },
                            deadline);
                } catch (BeeException error) {
                    worst = error.executed == Executed.NO ? worst : error.executed;
                    // After NO always, after MAYBE only what is idempotent, after YES never.
                    boolean allowed = error.executed == Executed.NO || error.executed == Executed.MAYBE && idempotent;
                    if (!allowed || !error.code.worthAnotherTry() || tries > settings.retries || closed || deadline.passed()) {
                        throw error.with(worst);
                    }
                    turnFrom(connection);
                    pause(error.retryAfter == null ? backOff(tries) : error.retryAfter, deadline, worst);
                }
            }
        }

        /** Another node at once; the same nodes a second time after a while, longer each time. */
        private long backOff(int tries) {
            return tries < settings.addresses.size() ? 0 : ThreadLocalRandom.current().nextLong(Math.min(LONGEST_PAUSE, FIRST_PAUSE << Math.min(tries, 10)));
        }

        private void pause(long milliseconds, Deadline deadline, Executed executed) {
            try {
                Thread.sleep(Math.min(milliseconds, deadline.milliseconds()));
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
                throw new BeeException(Code.CANCELLED, "the calling thread was interrupted", executed);
            }
        }

        /** The connection that calls share; one is made where there is none. */
        private Connection connected(Deadline deadline) {
            Connection connection = current;
            if (connection != null && connection.usable()) {
                return connection;
            }
            try {
                if (!dialing.tryLock(deadline.milliseconds(), TimeUnit.MILLISECONDS)) {
                    throw new BeeException(Code.DEADLINE_EXCEEDED, "the deadline came while connecting", Executed.NO);
                }
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
                throw new BeeException(Code.CANCELLED, "the calling thread was interrupted", Executed.NO);
            }
            try {
                if (current == null || !current.usable()) {
                    current = dial(deadline);
                }
                return current;
            } finally {
                dialing.unlock();
            }
        }

        /** New calls take the next node; calls that wait on this connection stay there. Null: none could be made, and {@link #dial} has turned away already. */
        private synchronized void turnFrom(Connection connection) {
            if (connection != null && connection == current && !(connection.usable() && settings.addresses.size() == 1)) {
                next++;
                current = null;
                connection.retire();
            }
        }

        private Connection dial(Deadline deadline) {
            int tried;
            synchronized (this) {
                tried = next;
            }
            String address = settings.addresses.get(tried % settings.addresses.size());
            int colon = address.lastIndexOf(':');
            Socket socket = new Socket();
            try {
                long bound = Math.max(1, Math.min(settings.connectTimeout.toMillis(), deadline.milliseconds()));
                socket.connect(new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1))), (int) bound);
                Connection connection = new Connection(socket);
                connections.add(connection);
                if (closed) { // in this very moment
                    connection.abandon();
                }
                connection.wire.start();
                return connection;
            } catch (IOException error) {
                try {
                    socket.close();
                } catch (IOException again) {
                    // nothing was sent on it
                }
                synchronized (this) {
                    next += next == tried ? 1 : 0; // once, however many callers have met this node
                }
                throw new BeeException(Code.UNAVAILABLE, "cannot connect to " + address + ": " + error.getMessage(), Executed.NO);
            }
        }

        private interface Start {
            Started on(ClientProtocol protocol);
        }

        /** One socket and the calls on it. */
        private final class Connection implements Wire.Listener {
            private final ClientProtocol protocol;
            private final Map<Long, CompletableFuture<Settled>> waiting = new HashMap<>();
            private final Wire wire;
            private boolean retired;

            Connection(Socket socket) throws IOException {
                Hello hello = new Hello(settings.service, "json", settings.compressor, settings.token, (long) settings.maxBody);
                protocol = new ClientProtocol(hello, settings.maxBody, settings.maxInflated);
                wire = new Wire(socket, "client", this);
            }

            synchronized boolean usable() {
                return protocol.usable() && !retired;
            }

            /** Sends, and waits for the answer: until the deadline, when the server is told that nobody waits any more. */
            Settled attempt(Start start, Deadline deadline) {
                CompletableFuture<Settled> answer = new CompletableFuture<>();
                long id;
                synchronized (this) {
                    if (protocol.goaway != null) { // it may refuse before it reads the hello, and say why
                        throw new BeeException(protocol.goaway.code(), protocol.goaway.message(), Executed.NO);
                    }
                    if (!usable() || wire.queued() > MAX_QUEUED) {
                        String why = usable() ? "the server does not read what is sent" : "the connection has just ended";
                        throw new BeeException(Code.UNAVAILABLE, why, Executed.NO);
                    }
                    if (deadline.passed()) {
                        throw new BeeException(Code.DEADLINE_EXCEEDED, "the deadline came before the request was sent", Executed.NO);
                    }
                    Started started = start.on(protocol);
                    id = started.id();
                    waiting.put(id, answer);
                    wire.send(started.bytes());
                }
                try {
                    Settled settled = answer.get(deadline.nanoseconds(), TimeUnit.NANOSECONDS);
                    if (settled.error() != null) {
                        throw settled.error();
                    }
                    return settled;
                } catch (TimeoutException error) {
                    giveUp(id);
                    throw new BeeException(Code.DEADLINE_EXCEEDED, "no reply within " + deadline, Executed.MAYBE);
                } catch (InterruptedException error) {
                    giveUp(id);
                    Thread.currentThread().interrupt();
                    throw new BeeException(Code.CANCELLED, "the calling thread was interrupted", Executed.MAYBE);
                } catch (ExecutionException error) {
                    throw new AssertionError("answers never end this way", error);
                }
            }

            private synchronized void giveUp(long id) {
                if (waiting.remove(id) != null) {
                    wire.send(protocol.cancel(id));
                    leaveIfDone();
                }
            }

            /** Takes no more calls, and closes when the last answer has come. */
            synchronized void retire() {
                retired = true;
                leaveIfDone();
            }

            /** The client is closed. */
            void abandon() {
                List<CompletableFuture<Settled>> rest;
                synchronized (this) {
                    retired = true;
                    waiting.keySet().forEach(id -> wire.send(protocol.cancel(id)));
                    rest = List.copyOf(waiting.values());
                    waiting.clear();
                    wire.finish();
                }
                BeeException reason = new BeeException(Code.CANCELLED, "the client was closed", Executed.MAYBE);
                rest.forEach(answer -> answer.complete(new Settled(0, null, null, reason)));
            }

            // Nothing is half-closed while an answer is due: that would cancel what runs (§ Cancel).
            private void leaveIfDone() {
                if ((retired || protocol.goaway != null) && protocol.idle()) {
                    wire.finish();
                }
            }

            @Override
            public void received(byte[] data, int count) {
                synchronized (this) {
                    settle(protocol.receive(data, count));
                    if (protocol.error != null) {
                        wire.close();
                    } else {
                        leaveIfDone();
                    }
                }
            }

            @Override
            public void ended(String reason) {
                synchronized (this) {
                    settle(protocol.end("connection lost before the reply: " + reason));
                }
                connections.remove(this);
            }

            private void settle(List<Settled> settled) {
                for (Settled one : settled) {
                    CompletableFuture<Settled> answer = waiting.remove(one.id());
                    if (answer != null) {
                        answer.complete(one);
                    }
                }
            }
        }
    }

    /** A moment that the clock of the day cannot move. */
    static final class Deadline {
        private final Duration time;
        private final long end;

        Deadline(Duration time) {
            this.time = time;
            this.end = System.nanoTime() + time.toNanos();
        }

        long nanoseconds() {
            return Math.max(0, end - System.nanoTime());
        }

        long milliseconds() {
            return nanoseconds() / 1_000_000;
        }

        long millisecondsUp() {
            return (nanoseconds() + 999_999) / 1_000_000;
        }

        boolean passed() {
            return nanoseconds() == 0;
        }

        @Override
        public String toString() {
            return time.toMillis() + " ms";
        }
    }

    // ── server: § Hello, and how a server refuses; § Who may send what, when; § Limits ───────────────────────────────

    /** Answers one method. Runs on a thread of its own; an interrupt means that nobody waits for the answer any more. */
    @FunctionalInterface
    public interface Handler {
        Object handle(Call call) throws Exception;
    }

    /** What a handler sees of a call. */
    public interface Call {
        /** The arguments, matched with the parameters' names; what does not fit is INVALID_ARGUMENT, and the handler did not run. */
        Arguments arguments(String... parameters);

        Map<String, String> metadata();

        Map<String, String> baggage();

        byte[] dedupeKey();

        /** Null: the caller set no deadline. */
        Duration timeLeft();

        boolean cancelled();
    }

    /** Arguments that do not fit: the caller gets INVALID_ARGUMENT with the path, and the handler counts as not run. So throw it before anything is done. */
    public static final class ArgumentException extends IllegalArgumentException {
        private static final long serialVersionUID = 1;

        private final String path;

        public ArgumentException(String path, String message) {
            super(message);
            this.path = path;
        }
    }

    /** Arguments by parameter name. */
    public static final class Arguments {
        private final Map<String, Object> values = new HashMap<>();

        Arguments(int form, Object body, String... parameters) {
            List<?> positional = form == POSITIONAL ? list(body, "$") : form == MIXED ? list(element(body, 0), "$[0]") : List.of();
            Map<?, ?> named = form == NAMED ? map(body, "$") : form == MIXED ? map(element(body, 1), "$[1]") : Map.of();
            if (form > MIXED) {
                throw new ArgumentException("$", "the codec json has arguments by position, by name or both, and no form of one message");
            }
            if (positional.size() > parameters.length) {
                throw new ArgumentException("$", "takes " + parameters.length + " arguments, got " + positional.size());
            }
            for (int index = 0; index < positional.size(); index++) {
                values.put(parameters[index], positional.get(index));
            }
            named.forEach((name, value) -> {
                if (!List.of(parameters).contains(name) || values.containsKey(name)) {
                    throw new ArgumentException("$." + name, "no such parameter, or given twice");
                }
                values.put((String) name, value);
            });
            for (String parameter : parameters) {
                if (!values.containsKey(parameter)) {
                    throw new ArgumentException("$", "the argument '" + parameter + "' is missing");
                }
            }
        }

        public Object any(String name) {
            return values.get(name);
        }

        public BigInteger integer(String name) {
            Object value = values.get(name);
            if (value instanceof Long number) {
                return BigInteger.valueOf(number);
            }
            return value instanceof BigInteger number ? number : misfit(name, "int");
        }

        public double number(String name) {
            return values.get(name) instanceof Number number ? number.doubleValue() : misfit(name, "float");
        }

        public String text(String name) {
            return values.get(name) instanceof String text ? text : misfit(name, "str");
        }

        private static <T> T misfit(String name, String expected) {
            throw new ArgumentException("$." + name, "expected " + expected);
        }

        private static Object element(Object body, int index) {
            List<?> parts = list(body, "$");
            if (parts.size() != 2) {
                throw new ArgumentException("$", "expected a list and an object");
            }
            return parts.get(index);
        }

        private static List<?> list(Object value, String path) {
            if (value instanceof List<?> list) {
                return list;
            }
            throw new ArgumentException(path, "expected a list");
        }

        private static Map<?, ?> map(Object value, String path) {
            if (value instanceof Map<?, ?> map) {
                return map;
            }
            throw new ArgumentException(path, "expected an object");
        }
    }

    /** A server of one service. Every limit of the specification is in its fields. */
    public static final class Server {
        private static final Duration REFUSAL = Duration.ofSeconds(1);
        private static final Duration LINGER = Duration.ofMillis(500);
        private static final long SWEEP = 50; // milliseconds
        private static final long UNREAD = MIB; // bytes of answers from which a client gets no more requests read

        public final String service;
        public String version = "";
        public int maxBody = 2 * MIB;
        public int maxInflated = 64 * MIB;
        public int maxInFlight = 200; // also the number of threads
        public int maxConnections = 1000;
        public Duration readTimeout = Duration.ofSeconds(10);
        public Duration writeTimeout = Duration.ofSeconds(10);

        private final Map<String, Handler> handlers = new ConcurrentHashMap<>();
        private final Set<ServedConnection> connections = ConcurrentHashMap.newKeySet();
        private final byte[] epoch = new byte[8];
        private final ExecutorService threads = Executors.newCachedThreadPool(daemons("handler"));
        private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1, daemons("timer"));
        private final Object quiet = new Object();
        private int inFlight;
        private volatile boolean draining;
        private ServerSocket door;

        public Server(String service) {
            this.service = service;
            new SecureRandom().nextBytes(epoch);
            timer.setRemoveOnCancelPolicy(true); // or each call's deadline would stay until it passes
        }

        public Server handle(String method, Handler handler) {
            handlers.put(method, handler);
            return this;
        }

        /** Starts to serve; the port that it listens on, where 0 was asked for. */
        public int start(String host, int port) throws IOException {
            door = new ServerSocket(port, 128, InetAddress.getByName(host));
            daemons("accept").newThread(this::accept).start();
            timer.scheduleWithFixedDelay(this::sweep, SWEEP, SWEEP, TimeUnit.MILLISECONDS);
            return door.getLocalPort();
        }

        /** § Goaway: no new requests; those that were accepted get so long to end; then everything is closed. */
        public void drain(Duration timeout) throws InterruptedException {
            draining = true;
            connections.forEach(ServedConnection::drain);
            Deadline deadline = new Deadline(timeout);
            synchronized (quiet) {
                while (inFlight > 0 && !deadline.passed()) {
                    quiet.wait(deadline.millisecondsUp());
                }
            }
            connections.forEach(ServedConnection::finish);
            Deadline linger = new Deadline(LINGER); // clients take their last answers and close their halves
            while (!connections.isEmpty() && !linger.passed()) {
                Thread.sleep(5);
            }
            close();
        }

        public void close() {
            try {
                door.close();
            } catch (IOException error) {
                // it is closed all the same
            }
            connections.forEach(connection -> connection.wire.close());
            threads.shutdownNow();
            timer.shutdownNow();
        }

        private void accept() {
            while (!door.isClosed()) {
                try {
                    ServedConnection connection = new ServedConnection(door.accept());
                    connections.add(connection);
                    connection.open();
                } catch (IOException error) {
                    LockSupport.parkNanos(10_000_000); // the client has gone already, the door is closed, or no descriptor is left for a while
                }
            }
        }

        /** § Limits: slow peers are cut off. */
        private void sweep() {
            connections.forEach(ServedConnection::sweep);
        }

        private boolean enter() {
            synchronized (quiet) {
                boolean room = inFlight < maxInFlight;
                inFlight += room ? 1 : 0;
                return room;
            }
        }

        private void leave() {
            synchronized (quiet) {
                inFlight--;
                quiet.notifyAll();
            }
        }

        /** One client. */
        private final class ServedConnection implements Wire.Listener {
            private final ServerProtocol protocol = new ServerProtocol(maxBody);
            private final Map<Long, Running> running = new ConcurrentHashMap<>();
            private final Wire wire;
            private Hello hello;
            private volatile long partialSince = System.nanoTime() | 1; // 0: no frame, and no hello, is being waited for
            private volatile long endsSince; // 0: it goes on

            ServedConnection(Socket socket) throws IOException {
                wire = new Wire(socket, "server", this);
            }

            void open() {
                if (draining) {
                    refuse(Code.UNAVAILABLE, "the server is shutting down");
                } else if (connections.size() > maxConnections) {
                    refuse(Code.OVERLOADED, "the server has " + maxConnections + " connections");
                }
                wire.start();
            }

            @Override
            public void received(byte[] data, int count) {
                synchronized (protocol) {
                    List<Frame> frames = protocol.receive(data, count);
                    for (Frame frame : frames) {
                        if (protocol.check(frame)) {
                            act(frame);
                        }
                    }
                    if (protocol.streamError() != null && endsSince == 0) {
                        refuse(protocol.streamError().code, protocol.streamError().getMessage());
                    }
                    if (!protocol.partial()) {
                        partialSince = hello == null ? partialSince : 0;
                    } else if (!frames.isEmpty() || partialSince == 0) {
                        partialSince = System.nanoTime() | 1;
                    }
                }
                try {
                    wire.awaitRoom(UNREAD);
                } catch (InterruptedException error) {
                    wire.close();
                }
            }

            private void act(Frame frame) {
                switch (frame.kind()) {
                    case HELLO -> greet(frame);
                    case REQUEST -> begin(frame);
                    case CANCEL -> cancel(frame.id());
                    case PING -> wire.send((draining ? Status.DRAINING : Status.SERVING).frame(frame.id()));
                    default -> throw new AssertionError("check() lets no other kind pass");
                }
            }

            private void greet(Frame frame) {
                Hello said;
                try {
                    said = Hello.parse(frame.fields());
                } catch (BeeException error) {
                    refuse(Code.PROTOCOL_ERROR, error.getMessage());
                    return;
                }
                if (!said.service().equals(service)) {
                    refuse(Code.PROTOCOL_ERROR, "this is the service '" + service + "', not '" + said.service() + "'");
                } else if (!said.codec().equals("json")) {
                    refuse(Code.PROTOCOL_ERROR, "the codec '" + said.codec() + "' is not offered here; offered: json");
                } else if (said.compressor() != null && !said.compressor().equals("gzip")) {
                    refuse(Code.PROTOCOL_ERROR, "the compressor '" + said.compressor() + "' is not offered here; offered: gzip");
                } else if (draining) {
                    refuse(Code.UNAVAILABLE, "the server is shutting down");
                } else {
                    hello = said;
                    wire.send(protocol.accept(new HelloAck(service, version, epoch, (long) maxBody)));
                }
            }

            /** What is refused here did not run. */
            private void begin(Frame frame) {
                long id = frame.id();
                Request request;
                try {
                    request = Request.parse(frame.fields(), frame.form());
                } catch (BeeException error) { // the frames are intact, so this request alone is refused
                    wire.send(errorFrame(id, error.with(Executed.NO)));
                    return;
                }
                Handler handler = handlers.get(request.method());
                if (request.timeLeft() != null && request.timeLeft() == 0) {
                    wire.send(errorFrame(id, new BeeException(Code.DEADLINE_EXCEEDED, "the request was late when it arrived", Executed.NO)));
                } else if (handler == null) {
                    wire.send(errorFrame(id, new BeeException(Code.METHOD_NOT_FOUND, "there is no method '" + request.method() + "'", Executed.NO)));
                } else if (!enter()) {
                    wire.send(errorFrame(id, new BeeException(Code.OVERLOADED, maxInFlight + " requests are in flight", Executed.NO)));
                } else {
                    Running call = new Running(this, frame, request, handler);
                    running.put(id, call);
                    call.start();
                }
            }

            private void cancel(long id) {
                Running call = running.remove(id);
                if (call != null) {
                    call.cancel();
                }
            }

            /** Exactly one answer to each request, and none to those that were given up. */
            void answer(Running call, byte[] frame) {
                if (running.remove(call.id, call)) {
                    wire.send(frame);
                }
            }

            void drain() {
                synchronized (protocol) {
                    if (protocol.state == ServerProtocol.State.OPEN) {
                        wire.send(protocol.leave(Code.UNAVAILABLE, "the server is shutting down"));
                    } // one whose hello is under way is refused when it comes
                }
            }

            /** Say why, close the sending half, and read on for a while: a plain close would destroy the goaway under way. */
            private void refuse(Code code, String message) {
                wire.send(protocol.leave(code, message));
                cancelAll();
                wire.finish();
                endsSince = System.nanoTime() | 1;
            }

            /** The end of a drain: what still runs is given up. */
            void finish() {
                synchronized (protocol) {
                    if (hello == null && endsSince == 0) {
                        refuse(Code.UNAVAILABLE, "the server is shutting down");
                    } else if (endsSince == 0) {
                        running.values().forEach(call -> call.stop(Code.CANCELLED, "the server has shut down"));
                        wire.finish();
                        endsSince = System.nanoTime() | 1;
                    }
                }
            }

            void sweep() {
                long now = System.nanoTime();
                if (endsSince != 0 && now - endsSince > REFUSAL.toNanos() || wire.stuckFor(writeTimeout)) {
                    wire.close();
                } else if (endsSince == 0 && partialSince != 0 && now - partialSince > readTimeout.toNanos()) {
                    synchronized (protocol) {
                        refuse(Code.PROTOCOL_ERROR, (hello == null ? "a hello" : "a frame") + " was not complete within " + readTimeout.toMillis() + " ms");
                    }
                }
            }

            /** To lose a connection, or its client's half, cancels everything on it. */
            @Override
            public void ended(String reason) {
                connections.remove(this);
                cancelAll();
            }

            private void cancelAll() {
                List.copyOf(running.keySet()).forEach(this::cancel);
            }
        }

        /** A request between its acceptance and its answer. */
        private final class Running implements Call {
            private final long id;
            private final ServedConnection connection;
            private final Frame frame;
            private final Request request;
            private final Handler handler;
            private final Deadline deadline;
            private ScheduledFuture<?> alarm;
            private Thread runner;
            private boolean begun;
            private Object body;
            private volatile boolean cancelled;

            Running(ServedConnection connection, Frame frame, Request request, Handler handler) {
                this.id = frame.id();
                this.connection = connection;
                this.frame = frame;
                this.request = request;
                this.handler = handler;
                this.deadline = request.timeLeft() == null ? null : new Deadline(Duration.ofMillis(request.timeLeft()));
            }

            void start() {
                if (deadline != null) {
                    String late = "the deadline passed while the handler ran";
                    alarm = timer.schedule(() -> stop(Code.DEADLINE_EXCEEDED, late), deadline.nanoseconds(), TimeUnit.NANOSECONDS);
                }
                threads.execute(this::run);
            }

            private void run() {
                try {
                    synchronized (this) {
                        if (cancelled) {
                            return;
                        }
                        runner = Thread.currentThread();
                        begun = true;
                    }
                    byte[] answer;
                    try {
                        answer = result();
                    } finally {
                        synchronized (this) {
                            runner = null;
                            Thread.interrupted(); // one that came after the end must not meet the next call
                        }
                    }
                    connection.answer(this, answer);
                } finally {
                    if (alarm != null) {
                        alarm.cancel(false);
                    }
                    leave();
                }
            }

            private byte[] result() {
                try {
                    byte[] raw = frame.body();
                    if (frame.compressed()) {
                        if (connection.hello.compressor() == null) {
                            throw new BeeException(Code.PROTOCOL_ERROR, "a compressed body, and the hello named no compressor", Executed.NO);
                        }
                        raw = Gzip.inflate(raw, maxInflated, Executed.NO);
                    }
                    try {
                        body = Json.parse(raw);
                    } catch (IllegalArgumentException error) {
                        throw new ArgumentException("$", "the arguments are not JSON: " + error.getMessage());
                    }
                } catch (BeeException error) {
                    return errorFrame(id, error);
                } catch (ArgumentException error) {
                    return errorFrame(id, invalidArgument(error.path, error.getMessage()));
                }
                Object value;
                try {
                    value = handler.handle(this);
                } catch (ArgumentException error) {
                    return errorFrame(id, invalidArgument(error.path, error.getMessage()));
                } catch (ServiceException error) {
                    return errorFrame(id, meant(error));
                } catch (Throwable error) { // whatever a handler raises is its answer
                    String message = error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
                    return errorFrame(id, new BeeException(Code.REMOTE_ERROR, message, Executed.YES, error.getClass().getSimpleName(), "", null, null));
                }
                try {
                    return packed(encoded(value));
                } catch (BeeException error) {
                    return errorFrame(id, error);
                }
            }

            /** The details are left out where they are too large, or cannot be written. */
            private BeeException meant(ServiceException error) {
                String message = String.valueOf(error.getMessage());
                byte[] details = NOTHING;
                try {
                    details = error.details == null ? NOTHING : Json.write(error.details);
                    Long most = connection.hello.maxBody();
                    if (details.length > (most == null ? MAX_DETAILS : Math.min(MAX_DETAILS, most))) {
                        message += " (without its details: they have " + details.length + " bytes)";
                        details = NOTHING;
                    }
                } catch (IllegalArgumentException problem) {
                    message += " (without its details: " + problem.getMessage() + ")";
                }
                Long wait = error.retryAfter == null ? null : error.retryAfter.toMillis();
                return new BeeException(Code.REMOTE_ERROR, message, Executed.YES, "ServiceError", "", wait, null, error.code, details);
            }

            private byte[] encoded(Object value) {
                try {
                    return Json.write(value);
                } catch (IllegalArgumentException error) {
                    throw invalidArgument("$", "the result does not fit: " + error.getMessage()).with(Executed.YES);
                }
            }

            /** § Compression: what is over the limit is compressed; what is still over it is refused, and has run. */
            private byte[] packed(byte[] value) {
                Hello hello = connection.hello;
                long limit = hello.maxBody() == null ? maxBody : Math.min(maxBody, hello.maxBody());
                boolean compress = value.length > limit && hello.compressor() != null;
                byte[] sent = compress ? Gzip.deflate(value) : value;
                if (sent.length > limit) {
                    String message = "the result of " + request.method() + " has " + sent.length + " bytes, over the limit of " + limit + ": split the call";
                    throw new BeeException(Code.MESSAGE_TOO_LARGE, message, Executed.YES);
                }
                return responseFrame(id, sent, compress);
            }

            /** Give it up on the server's side, and tell the caller. */
            void stop(Code code, String message) {
                boolean ran;
                synchronized (this) {
                    ran = begun;
                    cancelled = true;
                }
                connection.answer(this, errorFrame(id, new BeeException(code, message, ran ? Executed.MAYBE : Executed.NO)));
                cancel();
            }

            synchronized void cancel() {
                cancelled = true;
                if (runner != null) {
                    runner.interrupt();
                }
            }

            @Override
            public Arguments arguments(String... parameters) {
                return new Arguments(request.form(), body, parameters);
            }

            @Override
            public Map<String, String> metadata() {
                Map<String, String> all = new HashMap<>(request.metadata());
                all.putAll(request.baggage()); // where a key is in both, the handler sees the baggage
                return all;
            }

            @Override
            public Map<String, String> baggage() {
                return request.baggage();
            }

            @Override
            public byte[] dedupeKey() {
                return request.dedupeKey();
            }

            @Override
            public Duration timeLeft() {
                return deadline == null ? null : Duration.ofNanos(deadline.nanoseconds());
            }

            @Override
            public boolean cancelled() {
                return cancelled;
            }
        }
    }

    /** What `java Bee.java serve` serves. */
    static void addExamples(Server server, String name) {
        AtomicInteger holding = new AtomicInteger();
        AtomicInteger cancelled = new AtomicInteger();
        server.handle("add", call -> {
            Arguments args = call.arguments("a", "b");
            return args.integer("a").add(args.integer("b"));
        });
        server.handle("echo", call -> call.arguments("value").any("value"));
        server.handle("fail", call -> {
            throw new IllegalStateException(call.arguments("message").text("message"));
        });
        server.handle("size", call -> call.arguments("text").text("text").length());
        server.handle("meant", call -> {
            String code = call.arguments("code").text("code");
            throw new ServiceException(code, "as was asked", Map.of("sku", 7L, "größe", List.of(1.5, "é")), Duration.ofMillis(1500));
        });
        server.handle("letters", call -> "a".repeat(call.arguments("count").integer("count").intValueExact()));
        server.handle("metadata", Call::metadata);
        server.handle("timeLeft", call -> call.timeLeft() == null ? null : call.timeLeft().toMillis() / 1000.0);
        server.handle("slow", call -> {
            double seconds = call.arguments("seconds").number("seconds");
            try {
                Thread.sleep((long) (seconds * 1000));
            } catch (InterruptedException error) {
                cancelled.incrementAndGet();
                throw error;
            }
            return seconds;
        });
        server.handle("hold", call -> {
            call.arguments();
            holding.incrementAndGet();
            try {
                new CountDownLatch(1).await();
            } finally {
                holding.decrementAndGet();
                cancelled.incrementAndGet();
            }
            return null;
        });
        server.handle("holding", call -> holding.get());
        server.handle("cancelled", call -> cancelled.get());
        server.handle("who", call -> name);
    }

    // ── test vectors ─────────────────────────────────────────────────────────────────────────────────────────────────

    /** Replays tests/vectors; the README there describes them. */
    static final class Vectors {
        private static final int MAX_BODY = 1024;
        private static final int MAX_INFLATED = 4096;
        private static final Pattern RUN = Pattern.compile("\\[(..)\\*(\\d+)]");
        private static final int[] CHUNKS = {1 << 20, 1, 7};

        private interface Check {
            void on(Map<String, Object> vector);
        }

        private final Path folder;
        private int count;
        private int failed;

        Vectors(Path folder) {
            this.folder = folder;
        }

        boolean replay() throws IOException {
            each("valid", Vectors::decodes);
            each("valid", Vectors::encodes);
            each("tolerated", Vectors::decodes);
            each("invalid_streams", Vectors::refusesStream);
            each("invalid_fields", Vectors::refusesFields);
            each("errors", Vectors::means);
            each("bodies", Vectors::inflates);
            each("first_call", Vectors::makesFirstCall);
            for (int chunk : CHUNKS) {
                each("client_conversations", talk -> clientHolds(talk, chunk));
                each("server_conversations", talk -> serverHolds(talk, chunk));
            }
            System.out.println(count - failed + " of " + count + " checks passed");
            return failed == 0;
        }

        private void each(String file, Check check) throws IOException {
            for (Object one : (List<?>) Json.parse(Files.readAllBytes(folder.resolve(file + ".json")))) {
                Map<String, Object> vector = map(one);
                count++;
                try {
                    check.on(vector);
                } catch (RuntimeException | AssertionError error) {
                    failed++;
                    System.err.println(file + ": " + vector.get("name") + ": " + error);
                }
            }
        }

        private static void same(String what, Object found, Object expected) {
            if (!Objects.equals(found, expected)) {
                throw new AssertionError(what + ": " + found + ", expected " + expected);
            }
        }

        @SuppressWarnings("unchecked")
        private static Map<String, Object> map(Object value) {
            return (Map<String, Object>) value;
        }

        private static byte[] unhex(Object text) {
            String all = RUN.matcher((String) text).replaceAll(run -> run.group(1).repeat(Integer.parseInt(run.group(2))));
            return HexFormat.of().parseHex(all);
        }

        private static String hex(byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        }

        private static List<byte[]> chunks(byte[] raw, int size) {
            List<byte[]> parts = new ArrayList<>();
            for (int at = 0; at < raw.length; at += size) {
                parts.add(Arrays.copyOfRange(raw, at, Math.min(raw.length, at + size)));
            }
            return parts;
        }

        private static List<Frame> frames(byte[] raw) {
            FrameDecoder decoder = new FrameDecoder(1 << 20);
            List<Frame> frames = decoder.feed(raw);
            same("error", decoder.error, null);
            same("bytes left", decoder.partial(), false);
            return frames;
        }

        /** What a frame says, in the words of the vectors. */
        private static Map<String, Object> meaningOf(Frame frame) {
            Map<String, Object> said = new HashMap<>(Map.of("kind", kindName(frame.kind()), "id", frame.id()));
            switch (frame.kind()) {
                case HELLO -> {
                    Hello hello = Hello.parse(frame.fields());
                    said.put("service", hello.service());
                    said.put("codec", hello.codec());
                    said.put("compressor", hello.compressor());
                    said.put("token", hello.token());
                    said.put("max_body", hello.maxBody());
                }
                case HELLO_ACK -> {
                    HelloAck ack = HelloAck.parse(frame.fields());
                    said.put("service", ack.service());
                    said.put("version", ack.version());
                    said.put("epoch", hex(ack.epoch()));
                    said.put("max_body", ack.maxBody());
                }
                case REQUEST -> {
                    Request request = Request.parse(frame.fields(), frame.form());
                    said.put("form", FORMS.get(frame.form()));
                    said.put("compressed", frame.compressed());
                    said.put("method", request.method());
                    said.put("time_left_ms", request.timeLeft());
                    said.put("metadata", request.metadata());
                    said.put("baggage", request.baggage());
                    said.put("dedupe_key", request.dedupeKey() == null ? null : hex(request.dedupeKey()));
                    said.put("body", hex(frame.body()));
                }
                case RESPONSE -> {
                    said.put("compressed", frame.compressed());
                    said.put("body", hex(frame.body()));
                }
                case ERROR -> {
                    BeeException error = parseError(frame.fields(), NOTHING);
                    said.put("code", error.code.text());
                    said.put("executed", error.executed.text());
                    said.put("message", error.getMessage());
                    said.put("retry_after_ms", error.retryAfter);
                    said.put("type", error.type);
                    said.put("path", error.path);
                    said.put("traceback", error.traceback);
                }
                case PONG -> said.put("status", Status.parse(frame.fields()).name().toLowerCase(Locale.ROOT));
                case GOAWAY -> {
                    Goaway goaway = Goaway.parse(frame.fields());
                    said.put("last_id", goaway.lastId());
                    said.put("code", goaway.code().text());
                    said.put("message", goaway.message());
                }
                default -> { }
            }
            return said;
        }

        /** A vector's meaning with its runs written out. */
        private static Map<String, Object> writtenOut(Map<String, Object> meaning) {
            Map<String, Object> all = new HashMap<>(meaning);
            for (String key : List.of("body", "dedupe_key", "epoch", "result")) {
                all.computeIfPresent(key, (same, text) -> hex(unhex(text)));
            }
            return all;
        }

        private static Code code(Object name) {
            return Code.valueOf(((String) name).toUpperCase(Locale.ROOT));
        }

        @SuppressWarnings("unchecked")
        private static byte[] bytesOf(Map<String, Object> m) {
            long id = (Long) m.get("id");
            return switch ((String) m.get("kind")) {
                case "hello" -> new Hello(
                        (String) m.get("service"), (String) m.get("codec"), (String) m.get("compressor"), (String) m.get("token"), (Long) m.get("max_body")).frame();
                case "hello-ack" -> new HelloAck((String) m.get("service"), (String) m.get("version"), unhex(m.get("epoch")), (Long) m.get("max_body")).frame();
                case "request" -> {
                    byte[] key = m.get("dedupe_key") == null ? null : unhex(m.get("dedupe_key"));
                    Request request = new Request((String) m.get("method"), FORMS.indexOf(m.get("form")), (Long) m.get("time_left_ms"),
                            (Map<String, String>) m.get("metadata"), (Map<String, String>) m.get("baggage"), key);
                    yield request.frame(id, unhex(m.get("body")), (Boolean) m.get("compressed"));
                }
                case "response" -> responseFrame(id, unhex(m.get("body")), (Boolean) m.get("compressed"));
                case "error" -> errorFrame(id, new BeeException(code(m.get("code")), (String) m.get("message"),
                        Executed.valueOf(((String) m.get("executed")).toUpperCase(Locale.ROOT)), (String) m.get("type"), (String) m.get("path"),
                        (Long) m.get("retry_after_ms"), (String) m.get("traceback")));
                case "cancel" -> Frame.encode(CANCEL, id);
                case "ping" -> Frame.encode(PING, id);
                case "pong" -> Status.valueOf(((String) m.get("status")).toUpperCase(Locale.ROOT)).frame(id);
                default -> new Goaway((Long) m.get("last_id"), code(m.get("code")), (String) m.get("message")).frame();
            };
        }

        private static void decodes(Map<String, Object> vector) {
            byte[] raw = unhex(vector.get("hex"));
            List<Frame> frames = frames(raw);
            same("frames", frames.size(), 1);
            same("meaning", meaningOf(frames.get(0)), writtenOut(map(vector.get("meaning"))));
            for (int size = 0; size < raw.length; size += Math.max(1, raw.length >> 6)) {
                FrameDecoder decoder = new FrameDecoder(1 << 20);
                same("frames in the first " + size + " bytes", decoder.feed(raw, 0, size), List.of());
                same("error", decoder.error, null);
            }
        }

        private static void encodes(Map<String, Object> vector) {
            same("bytes", hex(bytesOf(map(vector.get("meaning")))), hex(unhex(vector.get("hex"))));
        }

        /** An error of errors.json: its fields, and the details in its body. */
        private static void means(Map<String, Object> vector) {
            if (vector.containsKey("error")) {
                refusesFields(vector);
                return;
            }
            Map<String, Object> meant = map(vector.get("meaning"));
            Frame frame = frames(unhex(vector.get("hex"))).get(0);
            BeeException error = parseError(frame.fields(), frame.body());
            Map<String, Object> said = meaningOf(frame);
            said.put("application_code", error.applicationCode);
            said.put("details", hex(error.detailsBody));
            same("meaning", said, meant);
            if (Boolean.TRUE.equals(vector.get("written"))) {
                same("bytes", hex(errorFrame((Long) meant.get("id"), error)), vector.get("hex"));
            }
        }

        private static void refusesStream(Map<String, Object> vector) {
            for (int size : CHUNKS) {
                FrameDecoder decoder = new FrameDecoder(((Long) vector.get("max_body")).intValue());
                chunks(unhex(vector.get("hex")), size).forEach(chunk -> same("frames", decoder.feed(chunk), List.of()));
                same("code", decoder.error == null ? null : decoder.error.code, code(vector.get("error")));
            }
        }

        private static void refusesFields(Map<String, Object> vector) {
            int kind = KINDS.indexOf(vector.get("kind"));
            fails(vector.get("error"), () -> meaningOf(new Frame(kind, 1, unhex(vector.get("hex")), NOTHING, false, 0)));
        }

        private static void inflates(Map<String, Object> vector) {
            int limit = ((Long) vector.get("limit")).intValue();
            if (vector.containsKey("error")) {
                fails(vector.get("error"), () -> Gzip.inflate(unhex(vector.get("hex")), limit, Executed.NO));
            } else {
                same("inflated", hex(Gzip.inflate(unhex(vector.get("hex")), limit, Executed.NO)), hex(unhex(vector.get("inflated"))));
            }
        }

        private static void fails(Object expected, Runnable work) {
            Code found = null;
            try {
                work.run();
            } catch (BeeException error) {
                found = error.code;
            }
            same("code", found, code(expected));
        }

        private static void makesFirstCall(Map<String, Object> vector) {
            ClientProtocol client = new ClientProtocol(new Hello("calc", "json", null, null, null), MAX_BODY, MAX_INFLATED);
            Started started = client.request(new Request("add", POSITIONAL, 500L, Map.of(), Map.of(), null), utf8("[1,2]"), false);
            same("written", hex(started.bytes()), joined(vector.get("client")));
            byte[] answer = unhex(joined(vector.get("server")));
            same("result", hex(client.receive(answer, answer.length).get(0).body()), hex(utf8("3")));
        }

        private static String joined(Object parts) {
            StringBuilder all = new StringBuilder();
            ((List<?>) parts).forEach(all::append);
            return all.toString();
        }

        private static void clientHolds(Map<String, Object> talk, int chunk) {
            Hello hello = new Hello("calc", "json", (String) talk.get("compressor"), null, (long) MAX_BODY);
            ClientProtocol client = new ClientProtocol(hello, MAX_BODY, MAX_INFLATED);
            Map<Long, Long> calls = new HashMap<>(); // id -> number of the call
            long call = 0;
            for (Object one : (List<?>) talk.get("steps")) {
                Map<String, Object> step = map(one);
                Map<Long, Map<String, Object>> settled = new TreeMap<>();
                byte[] sent = NOTHING;
                if (step.containsKey("request") || step.containsKey("ping")) {
                    call++;
                    try {
                        Started started = step.containsKey("ping") ? client.ping() : begin(client, map(step.get("request")));
                        calls.put(started.id(), call);
                        sent = started.bytes();
                    } catch (BeeException error) {
                        settled.put(call, settled(call, new Settled(0, null, null, error)));
                    }
                } else if (step.containsKey("cancel")) {
                    sent = client.cancel((Long) step.get("cancel"));
                } else {
                    List<byte[]> parts = step.containsKey("end") ? List.of() : chunks(unhex(step.get("receive")), chunk);
                    List<Settled> answers = new ArrayList<>();
                    parts.forEach(part -> answers.addAll(client.receive(part, part.length)));
                    answers.addAll(step.containsKey("end") ? client.end("closed") : List.of());
                    answers.forEach(answer -> settled.put(calls.get(answer.id()), settled(calls.get(answer.id()), answer)));
                    if (step.get("usable") != null) {
                        same("usable", client.usable(), step.get("usable"));
                    }
                }
                same("settled", List.copyOf(settled.values()), ((List<?>) step.get("settled")).stream().map(said -> writtenOut(map(said))).toList());
                assertSaid((List<?>) step.getOrDefault("send", List.of()), frames(sent));
            }
        }

        private static Started begin(ClientProtocol client, Map<String, Object> request) {
            return client.request(new Request((String) request.get("method"), POSITIONAL, 1000L, Map.of(), Map.of(), null), unhex(request.get("body")), false);
        }

        private static Map<String, Object> settled(Long call, Settled answer) {
            if (answer.error() != null) {
                return Map.of("call", call, "code", answer.error().code.text(), "executed", answer.error().executed.text());
            }
            return answer.body() == null
                    ? Map.of("call", call, "status", answer.status().name().toLowerCase(Locale.ROOT))
                    : Map.of("call", call, "result", hex(answer.body()));
        }

        /** The state machine alone: what requests are answered is seen over a socket (tests/interop/test_java.py). */
        private static void serverHolds(Map<String, Object> talk, int chunk) {
            ServerProtocol server = new ServerProtocol(MAX_BODY);
            for (Object one : (List<?>) talk.get("steps")) {
                Map<String, Object> step = map(one);
                List<List<Object>> acts = new ArrayList<>();
                ByteArrayOutputStream sent = new ByteArrayOutputStream();
                if (step.containsKey("drain")) {
                    sent.writeBytes(server.leave(Code.UNAVAILABLE, ""));
                } else {
                    chunks(unhex(step.get("receive")), chunk).forEach(part -> serverReceives(server, part, acts, sent));
                    same("acts", acts, step.get("acts"));
                }
                List<?> expected = ((List<?>) step.get("send")).stream()
                        .filter(said -> !Set.of("response", "error").contains(map(said).get("kind")))
                        .toList();
                assertSaid(expected, frames(sent.toByteArray()));
                same("ended", server.state == ServerProtocol.State.REFUSED, step.containsKey("end"));
            }
        }

        private static void serverReceives(ServerProtocol server, byte[] part, List<List<Object>> acts, ByteArrayOutputStream sent) {
            for (Frame frame : server.receive(part, part.length)) {
                if (!server.check(frame)) {
                    continue;
                }
                if (frame.kind() != HELLO) {
                    acts.add(List.of(kindName(frame.kind()), frame.id()));
                    if (frame.kind() == PING) {
                        sent.writeBytes((server.state == ServerProtocol.State.GOING ? Status.DRAINING : Status.SERVING).frame(frame.id()));
                    }
                    continue;
                }
                try {
                    Hello hello = Hello.parse(frame.fields());
                    acts.add(List.of("hello"));
                    boolean fits = hello.service().equals("calc") && hello.codec().equals("json") && !"snow".equals(hello.compressor());
                    HelloAck ack = new HelloAck("calc", "1.2.0", NOTHING, (long) MAX_BODY);
                    sent.writeBytes(fits ? server.accept(ack) : server.leave(Code.PROTOCOL_ERROR, "no"));
                } catch (BeeException error) {
                    sent.writeBytes(server.leave(error.code, error.getMessage()));
                }
            }
            if (server.streamError() != null && server.state != ServerProtocol.State.REFUSED) {
                sent.writeBytes(server.leave(server.streamError().code, ""));
            }
        }

        /** Each member that is given must be so. */
        private static void assertSaid(List<?> expected, List<Frame> found) {
            same("frames sent", found.size(), expected.size());
            for (int index = 0; index < found.size(); index++) {
                Map<String, Object> said = meaningOf(found.get(index));
                writtenOut(map(expected.get(index))).forEach((key, value) -> same(key, said.get(key), value));
            }
        }
    }

    // ── program ──────────────────────────────────────────────────────────────────────────────────────────────────────

    private static final String USAGE = """
            usage:
              java Bee.java call HOST:PORT[,HOST:PORT...] SERVICE METHOD [JSON-ARGS] [--timeout MS] [--retries N] [--idempotent] [--gzip] [--token TOKEN]
              java Bee.java ping HOST:PORT SERVICE
              java Bee.java serve [--port N] [--service NAME] [--version VERSION] [--name NAME] [--max-body BYTES] [--max-inflated BYTES]
                                  [--max-in-flight N] [--max-connections N] [--read-timeout MS] [--write-timeout MS] [--drain-timeout MS]
              java Bee.java vectors FOLDER

            JSON-ARGS is an array (by position) or an object (by name); [] when left out.""";

    /** The words of a command line that are no options, and the options. */
    private static final class CommandLine {
        private static final Set<String> SWITCHES = Set.of("--idempotent", "--gzip");

        final List<String> words = new ArrayList<>();
        final Map<String, String> options = new HashMap<>();

        CommandLine(String[] args) {
            for (int index = 0; index < args.length; index++) {
                if (SWITCHES.contains(args[index])) {
                    options.put(args[index], "");
                } else if (args[index].startsWith("--") && index + 1 < args.length) {
                    options.put(args[index], args[++index]);
                } else {
                    words.add(args[index]);
                }
            }
        }

        boolean is(String command, int least, int most) {
            return !words.isEmpty() && words.get(0).equals(command) && words.size() > least && words.size() <= most + 1;
        }

        boolean has(String option) {
            return options.containsKey(option);
        }

        int number(String option, int otherwise) {
            return has(option) ? Integer.parseInt(options.get(option)) : otherwise;
        }

        Duration milliseconds(String option, int otherwise) {
            return Duration.ofMillis(number(option, otherwise));
        }
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        CommandLine line = new CommandLine(args);
        if (line.is("vectors", 1, 1)) {
            System.exit(new Vectors(Path.of(line.words.get(1))).replay() ? 0 : 1);
        } else if (line.is("serve", 0, 0)) {
            serve(line);
        } else if (line.is("call", 3, 4) || line.is("ping", 2, 2)) {
            System.exit(call(line) ? 0 : 1);
        } else {
            System.err.println(USAGE);
            System.exit(2);
        }
    }

    private static boolean call(CommandLine line) {
        Client.Builder settings = Client.of(line.words.get(2), line.words.get(1).split(","))
                .timeout(line.milliseconds("--timeout", 10_000)).retries(line.number("--retries", 2)).token(line.options.get("--token"));
        try (Client client = (line.has("--gzip") ? settings.gzip(2 * MIB) : settings).build()) {
            if (line.is("ping", 2, 2)) {
                System.out.println(client.ping());
                return true;
            }
            Object args = Json.parse(utf8(line.words.size() > 4 ? line.words.get(4) : "[]"));
            Object result = client.call(line.words.get(3), args, CallOptions.NONE.withIdempotent(line.has("--idempotent")));
            System.out.write(Json.write(result));
            System.out.println();
            return true;
        } catch (BeeException error) {
            System.err.println(error);
        } catch (IOException | IllegalArgumentException error) {
            System.err.println("the arguments are not JSON: " + error.getMessage());
        }
        return false;
    }

    private static void serve(CommandLine line) throws IOException, InterruptedException {
        Server server = new Server(line.options.getOrDefault("--service", "calc"));
        server.version = line.options.getOrDefault("--version", "1.2.0");
        server.maxBody = line.number("--max-body", server.maxBody);
        server.maxInflated = line.number("--max-inflated", server.maxInflated);
        server.maxInFlight = line.number("--max-in-flight", server.maxInFlight);
        server.maxConnections = line.number("--max-connections", server.maxConnections);
        server.readTimeout = line.milliseconds("--read-timeout", 10_000);
        server.writeTimeout = line.milliseconds("--write-timeout", 10_000);
        addExamples(server, line.options.getOrDefault("--name", "java"));
        int port = server.start("127.0.0.1", line.number("--port", 9000));
        Duration patience = line.milliseconds("--drain-timeout", 10_000);
        // SIGTERM and Ctrl-C begin the shutdown; the process ends when this hook does.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            System.out.println("draining");
            try {
                server.drain(patience);
            } catch (InterruptedException error) {
                server.close();
            }
            System.out.println("gone");
        }));
        System.out.println("listening on tcp://127.0.0.1:" + port + " as " + server.service + " " + server.version);
        new CountDownLatch(1).await();
    }
}
