package io.github.mla4j.convert.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.github.mla4j.convert.train.BytePairVocabulary.Merge;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class BytePairTest {
  private static final String TEXT =
      "the cat sat on the mat; the cat's hat sat on that cat. Où est le 12th chat ? 猫は 123";

  @Test
  void joinsTheMostFrequentPairFirst() {
    String text = "hug ".repeat(10) + "pug ".repeat(5) + "hugs ".repeat(5) + "hun ".repeat(5);
    BytePairVocabulary vocabulary = BytePairTrainer.train(List.of(text), 257 + 4);
    // "h u" and "u g" occur 20 times each, and h comes before u. A blank belongs to the word after
    // it, so all but the first hu follow one: "Ġ hu" 19 times. Of the pairs that then occur 5
    // times, the one that begins with the blank comes first.
    assertEquals(List.of("h u", "Ġ hu", "Ġhu g", "Ġ p"), vocabulary.mergeLines());
  }

  @Test
  void sameTextsGiveTheSameVocabulary() {
    List<String> merges = BytePairTrainer.train(List.of(TEXT, TEXT), 290).mergeLines();
    assertEquals(merges, BytePairTrainer.train(List.of(TEXT, TEXT), 290).mergeLines());
    assertEquals(290 - 257, merges.size());
  }

  @Test
  void stopsWhenNoPairOccursTwice() {
    assertEquals(257, BytePairTrainer.train(List.of("abc"), 300).size());
  }

  @Test
  void decodingUndoesEncodingOfAnyText() {
    BytePairVocabulary vocabulary = BytePairTrainer.train(List.of(TEXT), 290);
    for (String text : List.of(TEXT, "", "\n\n \t x", "never seen: Ω≈ç√ 🙂 \u0000", "cat  cat")) {
      assertEquals(text, vocabulary.decode(vocabulary.encode(text)));
    }
    assertEquals("<|endoftext|>", vocabulary.decode(vocabulary.endOfText()));
  }

  @Test
  void appliesMergesInTheirOrderNotByLength() {
    // a b c: "b c" was learned first, so "a b" finds no b any more.
    BytePairVocabulary vocabulary =
        new BytePairVocabulary(List.of(new Merge('b', 'c'), new Merge('a', 'b')));
    assertArrayEquals(new int[] {'a', 256}, vocabulary.encode("abc"));
    assertArrayEquals(new int[] {257}, vocabulary.encode("ab"));
    assertArrayEquals(new int[] {256, 256, 257}, vocabulary.encode("bcbcab"));
  }

  @Test
  void refusesAMergeOfTokensThatAreNotThereYet() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new BytePairVocabulary(List.of(new Merge('a', 256))));
    assertEquals("merge 0 joins tokens 97 and 256, expected ids below 256", e.getMessage());
  }

  @Test
  void theByteAlphabetIsGpt2s() {
    Set<Character> characters = new HashSet<>();
    for (int b = 0; b < 256; b++) {
      char c = ByteAlphabet.character(b);
      assertEquals((byte) b, ByteAlphabet.byteOf(c));
      characters.add(c);
    }
    assertEquals(256, characters.size());
    assertEquals('A', ByteAlphabet.character('A'));
    assertEquals('Ġ', ByteAlphabet.character(' '));
    assertEquals('Ċ', ByteAlphabet.character('\n'));
    assertEquals('Ń', ByteAlphabet.character(0xAD));
    assertThrows(IllegalArgumentException.class, () -> ByteAlphabet.byteOf('猫'));
  }

  @Test
  void piecesAreGpt2s() {
    List<String> pieces = new ArrayList<>();
    String text = "I'll pay  $12.50,\n\n  they've said!\n";
    PreTokenizer.split(text, pieces::add);
    assertEquals(
        Arrays.asList(
            "I", "'ll", " pay", " ", " $", "12", ".", "50", ",", "\n\n ", " they", "'ve", " said",
            "!", "\n"),
        pieces);
    assertEquals(text, String.join("", pieces));
  }
}
