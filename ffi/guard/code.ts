/**
 * The fault guard's signal handler: its assembly, and the bytes it assembles to.
 *
 * Nothing is compiled where the library runs, so the machine code is here as bytes. Its
 * source stands above each, and a test assembles it again and compares. `mod.ts` says
 * what the code is for, and `table.ts` how its data lie and why it is sound.
 *
 * The code works at any address and keeps to what a signal handler may do: no
 * allocation, no lock, and no call but raw system calls, which leave `errno` alone. The
 * kernel restores all registers when the interrupted code resumes. Where the handler
 * gives way to the one before it, that one finds the three arguments and the stack as
 * if the kernel had called it.
 *
 * @module
 */

/** Bytes from the start of the code to that of its data: a multiple of every page size. */
export const CODE_SIZE: number = 0x10000;

/*
.intel_syntax noprefix
handler:                           # (edi signal, rsi siginfo_t, rdx ucontext)
  .set data, handler + 0x10000
  endbr64
  push  rbx
  push  r12
  push  rdi
  push  rsi
  push  rdx
  lea   r12, [rip + data]
  lock inc dword ptr [r12 + 20]    # inside: from here on no row is unmapped
  mov   eax, [rsi + 8]             # si_code: nothing is there (BUS_ADRERR), or
  cmp   eax, 2                     #   memory failed (BUS_MCEERR_AR). Neither kill()
  je    lost                       #   nor a misaligned access, which no page mends
  cmp   eax, 4
  jne   chain
lost:
  mov   rax, [rsi + 16]            # si_addr
  mov   ecx, [r12 + 16]            # used
  lea   rbx, [r12 + 128]
row:
  dec   ecx
  js    chain
  mov   rdx, [rbx + 8]             # length, read before begin: 0 says there is none
  mov   rdi, rax
  sub   rdi, [rbx]
  cmp   rdi, rdx                   # unsigned: what is below begin is far beyond
  jb    found
  add   rbx, 32
  jmp   row
found:
  mov   rsi, [r12 + 8]             # the page that was touched
  mov   rcx, rsi
  neg   rcx
  and   rdi, rcx
  sub   rdx, rdi                   # and bytes from it to the end of the range
  add   rdi, [rbx]
  mov   ecx, [rbx + 16]            # doubled after every four faults
  shr   ecx, 2
  push  28
  pop   rax
  cmp   ecx, eax
  cmova ecx, eax
  shl   rsi, cl
  cmp   rsi, rdx
  cmova rsi, rdx
  xor   eax, eax                   # whoever sees the zeros must see the fault, and
  lock cmpxchg [rbx + 24], rdi     #   whoever sees that, where the first one was
  lock inc dword ptr [rbx + 16]
lay:
  mov   eax, 9                     # mmap(page, length, PROT_READ | PROT_WRITE,
  mov   edx, 3                     #   MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
  mov   r10d, 0x4032               #   | MAP_NORESERVE, -1, 0)
  mov   r8, -1
  xor   r9d, r9d
  syscall
  test  rax, rax
  jns   laid
  cmp   rsi, [r12 + 8]             # no memory: try one page, if it was more
  mov   rsi, [r12 + 8]
  jne   lay
  lock dec dword ptr [rbx + 16]
  jmp   chain
laid:
  lock dec dword ptr [r12 + 20]
  pop   rdx
  pop   rsi
  pop   rdi
  pop   r12
  pop   rbx
  ret
chain:
  mov   rax, [r12]                 # the handler before this one
  lock dec dword ptr [r12 + 20]
  pop   rdx
  pop   rsi
  pop   rdi
  pop   r12
  pop   rbx
  cmp   rax, 1
  jbe   default
  jmp   rax
default:                           # or SIG_DFL, 0, or SIG_IGN, 1
  mov   r9d, [rsi + 8]
  test  eax, eax
  jz    reset
  test  r9d, r9d
  jle   end                        # kill() is ignored; an access cannot be
reset:
  lea   rsi, [rip + data + 32]     # rt_sigaction(SIGBUS, SIG_DFL, NULL, 8)
  xor   edx, edx
  mov   r10d, 8
  mov   eax, 13
  syscall
  test  r9d, r9d
  jg    end                        # the access is made again, and kills
  mov   eax, 39                    # kill(getpid(), SIGBUS)
  syscall
  mov   esi, edi
  mov   edi, eax
  mov   eax, 62
  syscall
end:
  ret
*/
export const X64_HANDLER: string =
  "f30f1efa5341545756524c8d25efff0000f041ff4424148b460883f802740983f804" +
  "0f85a6000000488b4610418b4c2410498d9c2480000000ffc90f888d000000488b53" +
  "084889c7482b3b4839d772064883c320ebe3498b7424084889f148f7d94821cf4829" +
  "fa48033b8b4b10c1e9026a1c5839c10f47c848d3e64839d6480f47f231c0f0480fb1" +
  "7b18f0ff4310b809000000ba0300000041ba3240000049c7c0ffffffff4531c90f05" +
  "4885c07912493b742408498b74240875d3f0ff4b10eb0df041ff4c24145a5e5f415c" +
  "5bc3498b0424f041ff4c24145a5e5f415c5b4883f8017602ffe0448b4e0885c07405" +
  "4585c97e2d488d3526ff000031d241ba08000000b80d0000000f054585c97f12b827" +
  "0000000f0589fe89c7b83e0000000f05c3";

/*
handler:                           // (w0 signal, x1 siginfo_t, x2 ucontext)
  .set  data, handler + 0x10000
  hint  #34                        // bti c
  adr   x9, data
  add   x10, x9, #20
enter:                             // inside: from here on no row is unmapped
  ldaxr w11, [x10]
  add   w11, w11, #1
  stlxr w12, w11, [x10]
  cbnz  w12, enter
  dmb   ish
  ldr   w11, [x1, #8]              // si_code: nothing is there (BUS_ADRERR), or
  cmp   w11, #2                    //   memory failed (BUS_MCEERR_AR). Neither kill()
  b.eq  lost                       //   nor a misaligned access, which no page mends
  cmp   w11, #4
  b.ne  chain
lost:
  ldr   x11, [x1, #16]             // si_addr
  ldr   w12, [x9, #16]             // used
  add   x13, x9, #128
row:
  cbz   w12, chain
  sub   w12, w12, #1
  add   x14, x13, #8
  ldar  x14, [x14]                 // length, read before begin: 0 says there is none
  ldr   x15, [x13]
  sub   x15, x11, x15
  cmp   x15, x14                   // unsigned: what is below begin is far beyond
  b.lo  found
  add   x13, x13, #32
  b     row
found:
  ldr   x6, [x9, #8]               // the page that was touched
  neg   x7, x6
  and   x15, x15, x7
  ldr   w7, [x13, #16]             // doubled after every four faults
  lsr   w7, w7, #2
  mov   w16, #28
  cmp   w7, w16
  csel  w7, w7, w16, lo
  lsl   x7, x6, x7
  sub   x14, x14, x15              // bytes from the page to the end of the range
  cmp   x7, x14
  csel  x7, x7, x14, lo
  ldr   x16, [x13]
  add   x15, x15, x16
  mov   x16, x0
  mov   x17, x1
  mov   x14, x2
  add   x11, x13, #24
first:                             // whoever sees the zeros must see the fault, and
  ldxr  x12, [x11]                 //   whoever sees that, where the first one was
  cbnz  x12, noted
  stxr  w8, x15, [x11]
  cbnz  w8, first
noted:
  add   x11, x13, #16
count:
  ldaxr w12, [x11]
  add   w12, w12, #1
  stlxr w8, w12, [x11]
  cbnz  w8, count
  dmb   ish
lay:
  mov   x0, x15                    // mmap(page, length, PROT_READ | PROT_WRITE,
  mov   x1, x7                     //   MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
  mov   x2, #3                     //   | MAP_NORESERVE, -1, 0)
  mov   x3, #0x4032
  mov   x4, #-1
  mov   x5, #0
  mov   x8, #222
  svc   #0
  cmn   x0, #4095
  b.lo  laid
  mov   x0, x16
  mov   x1, x17
  mov   x2, x14
  cmp   x7, x6                     // no memory: try one page, if it was more
  mov   x7, x6
  b.ne  lay
uncount:
  ldxr  w12, [x11]
  sub   w12, w12, #1
  stxr  w8, w12, [x11]
  cbnz  w8, uncount
  b     chain
laid:
  ldxr  w11, [x10]
  sub   w11, w11, #1
  stlxr w12, w11, [x10]
  cbnz  w12, laid
  ret
chain:
  ldr   x9, [x9]                   // the handler before this one
leave:
  ldxr  w11, [x10]
  sub   w11, w11, #1
  stlxr w12, w11, [x10]
  cbnz  w12, leave
  cmp   x9, #1
  b.ls  default
  br    x9
default:                           // or SIG_DFL, 0, or SIG_IGN, 1
  cmp   x9, #0
  ldr   w9, [x1, #8]
  b.eq  reset
  cmp   w9, #0
  b.le  end                        // kill() is ignored; an access cannot be
reset:
  adr   x1, data + 32              // rt_sigaction(SIGBUS, SIG_DFL, NULL, 8)
  mov   x2, #0
  mov   x3, #8
  mov   x8, #134
  mov   x10, x0
  svc   #0
  cmp   w9, #0
  b.gt  end                        // the access is made again, and kills
  mov   x8, #172                   // kill(getpid(), SIGBUS)
  svc   #0
  mov   x1, x10
  mov   x8, #129
  svc   #0
end:
  ret
*/
export const ARM64_HANDLER: string =
  "5f2403d5e9ff07102a5100914bfd5f886b0500114bfd0c88acffff35bf3b03d52b08" +
  "40b97f090071600000547f110071810800542b0840f92c1140b92d0102910c080034" +
  "8c050051ae210091cefddfc8af0140f96f010fcbff010eeb63000054ad810091f7ff" +
  "ff17260540f9e70306cbef01078aa71140b9e77c025390038052ff00106be730901a" +
  "c720c79ace010fcbff000eebe7308e9ab00140f9ef01108bf00300aaf10301aaee03" +
  "02aaab6100916c7d5fc86c0000b56f7d08c8a8ffff35ab4100916cfd5f888c050011" +
  "6cfd0888a8ffff35bf3b03d5e0030faae10307aa620080d2430688d2040080920500" +
  "80d2c81b80d2010000d41ffc3fb183010054e00310aae10311aae2030eaaff0006eb" +
  "e70306aa21feff546c7d5f888c0500516c7d0888a8ffff35060000144b7d5f886b05" +
  "00514bfd0c88acffff35c0035fd6290140f94b7d5f886b0500514bfd0c88acffff35" +
  "3f0500f14900005420011fd63f0100f1290840b9600000543f010071cd01005461f5" +
  "0710020080d2030180d2c81080d2ea0300aa010000d43f010071cc000054881580d2" +
  "010000d4e1030aaa281080d2010000d4c0035fd6";
