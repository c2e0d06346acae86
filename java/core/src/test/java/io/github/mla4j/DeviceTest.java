package io.github.mla4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceTest {
  @Test
  void isReadAsItIsWritten() {
    for (Device device : new Device[] {Device.CPU, Device.AUTO, Device.cuda(0), Device.cuda(12)}) {
      assertEquals(device, Device.parse(device.label()));
    }
    assertEquals(Device.cuda(0), Device.parse("cuda"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "gpu", "CPU", "cuda:", "cuda:-1", "cuda:x", "cuda:99999", " cpu"})
  void whatIsNoDeviceIsRefused(String text) {
    String words =
        assertThrows(IllegalArgumentException.class, () -> Device.parse(text)).getMessage();
    assertTrue(words.contains("'" + text + "'") && words.contains("expected cpu"), words);
  }

  @Test
  void numbersBeginAtZero() {
    assertThrows(IllegalArgumentException.class, () -> Device.cuda(-1));
  }
}
