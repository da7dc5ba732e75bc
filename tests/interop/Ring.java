// The ring of consistent-hash, from docs/decisions/hash-ring.md alone.
//
//     java Ring.java < rings
//
// Input, for each ring: the number of its nodes; a line "weight url" for each; the number of keys;
// one key a line. Output: for each key its position in hex, then the urls of all nodes in the order
// of the ring, separated by blanks.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

public class Ring {
  private static final TreeMap<Long, String> points = new TreeMap<>(Long::compareUnsigned);

  private static ByteBuffer digest(String text) throws Exception {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(bytes)); // big-endian
  }

  private static void add(double weight, String url) throws Exception {
    long number = (long) Math.max(1, Math.min(1600, Math.floor(160 * weight + 0.5)));
    ByteBuffer four = null;
    for (int point = 0; point < number; point++) {
      if (point % 4 == 0) {
        four = digest(url + "#" + point / 4);
      }
      points.put(four.getLong(), url);
    }
  }

  private static String ask(String key) throws Exception {
    long position = digest(key).getLong();
    Set<String> order = new LinkedHashSet<>(points.tailMap(position, true).values());
    order.addAll(points.values());
    return String.format("%016x", position) + " " + String.join(" ", order);
  }

  public static void main(String[] args) throws Exception {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String nodes = in.readLine(); nodes != null; nodes = in.readLine()) {
      points.clear();
      for (int left = Integer.parseInt(nodes); left > 0; left--) {
        String[] node = in.readLine().split(" ", 2);
        add(Double.parseDouble(node[0]), node[1]);
      }
      for (int left = Integer.parseInt(in.readLine()); left > 0; left--) {
        out.println(ask(in.readLine()));
      }
    }
  }
}
