// Lets a test drive the Java client: a command in JSON on each line of the input, an answer on each line of the output. To be compiled with Bee.java.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public final class Drive {
    private static final Map<String, Bee.Client> CLIENTS = new ConcurrentHashMap<>();
    private static final Map<Long, Future<?>> CALLS = new ConcurrentHashMap<>();

    private Drive() {}

    public static void main(String[] args) throws IOException {
        ExecutorService threads = Executors.newCachedThreadPool(Bee.daemons("drive"));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Map<String, Object> command = map(Bee.Json.parse(line.getBytes(StandardCharsets.UTF_8)));
            if (command.containsKey("call") || command.containsKey("ping")) {
                CALLS.put((Long) command.get("n"), threads.submit(() -> answer(command)));
            } else {
                answer(command);
            }
        }
    }

    private static void answer(Map<String, Object> command) {
        Object n = command.get("n");
        Map<String, Object> answer = new java.util.HashMap<>(Map.of("n", n));
        try {
            answer.put("result", act(command));
        } catch (Bee.BeeException error) {
            Map<String, Object> said = new java.util.HashMap<>(Map.of("code", error.code.text(), "executed", error.executed.text(), "message", error.getMessage(), "path", error.path, "type", error.type));
            said.put("applicationCode", error.applicationCode);
            said.put("details", error.details());
            said.put("retryAfter", error.retryAfter);
            answer.put("error", said);
        }
        synchronized (System.out) {
            System.out.println(new String(Bee.Json.write(answer), StandardCharsets.UTF_8));
            System.out.flush();
        }
    }

    private static Object act(Map<String, Object> command) {
        if (command.containsKey("open")) {
            CLIENTS.put((String) command.get("open"), open(command, map(command.get("options"))));
        } else if (command.containsKey("call")) {
            return CLIENTS.get((String) command.get("call")).call((String) command.get("method"), command.get("args"), options(map(command.get("options"))));
        } else if (command.containsKey("ping")) {
            return CLIENTS.get((String) command.get("ping")).ping();
        } else if (command.containsKey("abort")) {
            CALLS.get((Long) command.get("abort")).cancel(true);
        } else {
            CLIENTS.get((String) command.get("close")).close();
        }
        return null;
    }

    private static Bee.Client open(Map<String, Object> command, Map<String, Object> options) {
        String[] addresses = ((List<?>) command.get("addresses")).toArray(String[]::new);
        Bee.Client.Builder settings = Bee.Client.of((String) command.get("service"), addresses);
        options.forEach((name, value) -> {
            int number = value instanceof Long count ? count.intValue() : 0;
            switch (name) {
                case "timeout" -> settings.timeout(Duration.ofMillis(number));
                case "connectTimeout" -> settings.connectTimeout(Duration.ofMillis(number));
                case "retries" -> settings.retries(number);
                case "gzip" -> settings.gzip(number);
                case "maxBody" -> settings.maxBody(number);
                case "maxInflated" -> settings.maxInflated(number);
                default -> throw new IllegalArgumentException(name);
            }
        });
        return settings.build();
    }

    @SuppressWarnings("unchecked")
    private static Bee.CallOptions options(Map<String, Object> options) {
        Bee.CallOptions all = Bee.CallOptions.NONE.withIdempotent(Boolean.TRUE.equals(options.get("idempotent")));
        all = options.containsKey("timeout") ? all.withTimeout(Duration.ofMillis((Long) options.get("timeout"))) : all;
        all = options.containsKey("named") ? all.withNamed(map(options.get("named"))) : all;
        all = options.containsKey("metadata") ? all.withMetadata((Map<String, String>) options.get("metadata")) : all;
        return options.containsKey("baggage") ? all.withBaggage((Map<String, String>) options.get("baggage")) : all;
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> map(Object value) {
        return (Map<String, Object>) value;
    }
}
