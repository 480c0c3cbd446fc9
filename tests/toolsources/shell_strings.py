"""Shell commands that try to slip past a rule, and ordinary ones that must not be asked about.

The hostile ones are for a session that allows `git status`, `ls`, `find`, `npm test` and `echo` with any arguments, beside what is
built in: none may run without a question.
"""

from __future__ import annotations

RULES = ("shell(git status *)", "shell(ls *)", "shell(find *)", "shell(npm test *)", "shell(echo *)")

_CHAINED = r"""
git status; rm -rf x
git status;rm x
git status && rm x
git status || rm x
git status & rm x
git status | rm x
git status |& rm x
git status&&rm x
git status&rm x
rm x; git status
ls; rm x
ls;rm x;ls
(rm x)
{ rm x; }
! rm x
if ls; then rm x; fi
if rm x; then ls; fi
if ls; then ls; else rm x; fi
if ls; then ls; elif rm x; then ls; fi
while ls; do rm x; done
while rm x; do ls; done
until rm x; do ls; done
for f in a b; do rm $f; done
for f in a; do $f; done
for f in rm; do $f x; done
for f in x; do ls; done; rm x
(ls; (ls; (rm x)))
ls | (rm x)
ls && { ls && rm x; }
echo a && (cd sub; rm x)
time rm x
! ! rm x
ls & wait; rm x
"""
_SUBSTITUTED = r"""
ls $(rm x)
ls `rm x`
ls "$(rm x)"
ls "`rm x`"
ls "a$(rm x)b"
ls $((1+1))
ls $[1+1]
ls <(rm x)
ls >(rm x)
ls ${x:-$(rm x)}
ls ${x:=y}
ls ${x}
ls $x
ls "$x"
ls ${#x}
ls ${!x}
ls ${x//a/b}
ls ${x@P}
ls $*
ls "$@"
ls $1
ls $_
ls $-
echo $(rm x)
echo `rm x`
echo "$(rm x)"
echo "a`rm x`"
echo $(<x)
echo $((a[$(rm x)]))
echo $'\x72\x6d'
echo $"rm x"
echo "${x:-$(rm x)}"
echo ${x:?$(rm x)}
echo <(rm x)
find . -name "$(rm x)"
find . -name `rm x`
find $(rm x)
find $HOME/x -name y
npm test -- $(rm x)
npm test `rm x`
npm test -- "$x"
git status $(rm x)
git status "`rm x`"
git $(rm x)
$(rm x)
`rm x`
"$(echo rm)" x
$SHELL -c ls
${SHELL} -c ls
$0
x=$(rm x)
x=`rm x` ls
x=(rm x)
x[$(rm x)]=1
echo $x[$(rm x)]
: $(rm x)
: ${x:=$(rm x)}
true $(rm x)
[ $(rm x) ]
[ $x ]
[ $x = y ]
[ -n $x ]
test $x -eq 1
[[ "$x" -eq 1 ]]
[ "$x" "$y" ]
while read x; do [ $x = y ]; done < file
[[ $(rm x) ]]
[[ -v 'a[$(rm x)]' ]]
[[ 'a[$(rm x)]' -eq 1 ]]
test -v 'a[$(rm x)]'
[ -v 'a[$(rm x)]' ]
printf -v 'a[$(rm x)]' y
read 'a[$(rm x)]'
unset 'a[$(rm x)]'
((x=$(rm x)))
(( x ))
let 'x=a[$(rm x)]'
wait 'a[$(rm x)]'
"""
_QUOTED = r"""
'rm' x
"rm" x
r\m x
r''m x
'r'"m" x
\rm x
r"m" x
/bin/rm x
./ls
./git status
sub/ls
/tmp/ls
../ls
"./ls"
"git status"
'git status'
git\ status
"git" "sta tus"
git status'; rm x'; rm x
git 'status; rm x'; rm x
echo 'a'; rm x; echo 'b'
echo "a"; rm x; echo "b"
echo 'a' "b; rm x
echo "it's"; rm x; echo "it's"
echo \"; rm x; echo \"
echo '\'; rm x; echo '\'
echo "\\"; rm x; echo "\\"
echo \\; rm x
echo "\""; rm x
{rm,x}
{r,}m x
r{m,} x
ls {a,b}
ls {1..3}
ls x{a,$(rm x)}
?m x
[r]m x
/bin/r* x
/???/rm x
*
~/bin/rm x
~root/x
ls ~root
ls ~+
ls ~-
l?
"""
_ENVIRONMENT = r"""
PATH=. ls
PATH=.:$PATH git status
LD_PRELOAD=./x.so ls
LD_LIBRARY_PATH=. ls
GIT_PAGER=./x git status
GIT_SSH_COMMAND=./x git status
GIT_EXTERNAL_DIFF=./x git diff
GIT_DIR=x git status
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.fsmonitor GIT_CONFIG_VALUE_0=./x git status
PAGER=./x git log
EDITOR=./x git commit
VISUAL=./x git commit
BASH_ENV=x bash -c ls
ENV=x sh -c ls
SHELLOPTS=xtrace PS4='$(rm x)' bash -c ls
IFS=x ls
PYTHONSTARTUP=x python a.py
PYTHONPATH=/tmp python a.py
PYTHONPATH=.:/tmp python a.py
PYTHONINSPECT=1 python a.py
PYTHONBREAKPOINT=x.y python a.py
NODE_OPTIONS=--require=./x npm test
npm_config_script_shell=./x npm test
NPM_CONFIG_SCRIPT_SHELL=./x npm test
HOME=. git status
XDG_CONFIG_HOME=. git status
RUSTC_WRAPPER=./x cargo build
GOFLAGS=-toolexec=./x go build
MAKEFLAGS=--eval=x make
CC=./x make
TERM=../x ls
TZ=:/etc/shadow date
LANG=/x ls
CI=/x ls
TERMINFO=. ls
LESSOPEN='|rm x' ls
FOO=1 ls
CI+=1 FOO=2 ls
PATH=.; ls
PATH=. ; git status
export PATH=.
export PATH=.; ls
export PATH=. && ls
export FOO
export -f ls
export -n PATH
readonly PATH=.
declare PATH=.
declare -x PATH=.; ls
typeset -x PATH=.
local PATH=.
env PATH=. ls
env -i ls
env -S 'rm x'
env -u PATH ls
env -C /tmp ls
env rm x
env -- rm x
env FOO=1 rm x
set -a; ls
set -o allexport; ls
set -- rm x; "$@"
shopt -s expand_aliases
unset PATH
read PATH
read -a x
IFS=; ls
GIT_DIR=/tmp; git status
"""
_SHELL = r"""
alias ls=rm; ls x
alias ls='rm x'
ls() { rm x; }; ls
function ls { rm x; }; ls
function ls() { rm x; }
ls () { rm x; }
eval rm x
eval 'ls; rm x'
eval "r""m x"
builtin eval rm x
command eval 'rm x'
source x
. ./x
. x
exec rm x
exec ls
exec >x
exec 3<>x
trap 'rm x' EXIT
trap 'rm x' DEBUG; ls
coproc rm x
coproc { rm x; }
select f in a; do rm x; done
case x in x) rm x;; esac
case $(rm x) in x) ls;; esac
hash -p ./x ls; ls
enable -f ./x.so ls
enable -n echo; echo x
bind -x '"a":rm x'
complete -C 'rm x' ls
mapfile -C 'rm x' y
readarray -C 'rm x' -c 1 y
pushd /tmp; ls
popd; ls
builtin rm x
command rm x
command -p rm x
bash x.sh; ls
bash
bash -i
bash -c "rm x"
bash -c 'ls; rm x'
bash -c 'ls $(rm x)'
bash -c "ls; $x"
bash -c ls rm
bash -lc 'rm x'
bash -xc 'rm x'
bash --rcfile x -i
bash --init-file x -c ls
bash -O extglob -c ls
bash < x
bash <<< 'rm x'
sh -c 'rm x'
sh -s < x
echo 'rm x' | sh
echo 'rm x' | bash
echo 'rm x' | bash -s
echo 'rm x' | /bin/sh
dash -c 'rm x'
zsh -c 'rm x'
ksh -c 'rm x'
fish -c 'rm x'
busybox rm x
busybox sh -c 'rm x'
bash -c 'bash -c "bash -c \"bash -c ls\""'
sh -c "sh -c 'rm x'"
"""
_WRAPPED = r"""
timeout 5 rm x
timeout -s KILL 5 rm x
timeout --signal=KILL 5 rm x
timeout -k 5 5 rm x
timeout --unknown 5 ls
timeout 5 sh -c 'rm x'
nice rm x
nice -n 5 rm x
nice -5 rm x
nohup rm x
nohup sh -c 'rm x' &
time -p rm x
timeout 5 nice nohup rm x
xargs rm
ls | xargs rm
ls | xargs -n1 rm
ls | xargs -I{} rm {}
ls | xargs -I% sh -c 'rm %'
ls | xargs sh -c 'rm x'
ls | xargs
ls | xargs -a x ls
ls | xargs --arg-file=x ls
echo x | xargs find . -name
echo '-exec rm {} ;' | xargs find .
echo '-delete' | xargs find .
echo /etc/shadow | xargs cat
cat x | xargs ls
git diff | xargs cat
find . -printf /etc/shadow | xargs cat
find . -pri'ntf' /etc/shadow | xargs cat
grep -l --label=/etc/shadow x - | xargs cat
grep -rl x . --label=/etc/shadow | xargs cat
git ls-files --format=/etc/shadow | xargs cat
find -P . | xargs -a /etc/shadow cat
find . | xargs rm
find . | xargs -I{} cat {} /etc/shadow
find . | cat | xargs cat
sudo ls
sudo -n ls
doas ls
su -c ls
pkexec ls
watch ls
watch -n1 'rm x'
strace ls
ltrace ls
script -c 'rm x'
script -qc 'rm x' /dev/null
parallel rm ::: x
parallel ls ::: x
setsid rm x
stdbuf -o0 rm x
ionice -c3 rm x
chroot . ls
unshare ls
nsenter ls
flock x rm y
entr rm x
screen -dm rm x
tmux new -d 'rm x'
at now
batch
crontab x
systemd-run rm x
ssh host rm x
ssh -o ProxyCommand='rm x' host
gdb -ex 'shell rm x'
expect -c 'spawn rm x'
"""
_FIND = r"""
find . -exec rm {} \;
find . -exec rm {} +
find . -exec sh -c 'rm x' \;
find . -exec sh -c 'ls {}' \;
find . -exec {} \;
find . -execdir rm {} \;
find . -ok rm {} \;
find . -okdir rm {} \;
find . -exec ls {} \; -exec rm {} \;
find . -name x -exec r\m {} \;
find . "-exec" rm {} ";"
find . '-delete'
find . -delete
find . -name '*.o' -delete
find . -name x -o -delete
find . -fprint x
find . -fprint0 x
find . -fprintf x %p
find . -fls x
find -files0-from x
find . -e\xec rm {} \;
find . -exec ls {}
find / -name x
find /root
find .. -name x
find ~ -name x
find -L /home -name x
find . /root -name x
find *
find . *
find . -name *
"""
_GIT = r"""
git -c core.pager='rm x' status
git -c core.fsmonitor='rm x' status
git -ccore.pager=x status
git -c alias.status='!rm x' status
git --config-env=core.pager=X status
git --config-env core.pager=X status
git --exec-path=. status
git --exec-path . status
git --git-dir=/tmp/x status
git --git-dir /tmp/x status
git --work-tree=/ status
git -C /tmp status
git -C .. status
git -C / status
git -C sub -C /tmp status
git --namespace=x status
git -p log
git --paginate log
git st
git x
git !x
git status --x; git lol
git log --output=x
git log --output x
git log --outpu=x
git diff --output=x
git diff --ext-diff
git diff --ext
git show --ext-diff
git log -p --ext-diff
git grep -O x
git grep -Ovim x
git grep --open-files-in-pager=x y
git grep --open x
git bisect run sh x
git bisect run ./x
git rebase --exec 'rm x' main
git rebase -x 'rm x' main
git rebase -i --exec=x main
git submodule foreach 'rm x'
git submodule foreach --recursive rm x
git filter-branch --tree-filter 'rm x'
git difftool
git mergetool
git clone ext::sh
git clone 'ext::sh -c rm% x'
git clone -c core.sshCommand=x u
git clone --config core.x=y u
git clone --conf=core.x=y u
git clone -u ./x u
git clone --upload-pack=./x u
git clone --template=x u
git clone u /tmp/x
git clone u ../x
git fetch --upload-pack=./x
git fetch ext::sh
git pull --upload-pack ./x
git push --receive-pack=./x
git push --exec=./x
git push ext::sh
git ls-remote --upload-pack=./x u
git ls-remote ext::sh
git remote add x ext::sh
git archive --exec=./x
git archive --remote=x
git archive -o /tmp/x HEAD
git archive --output=x HEAD
git init --template=x
git init /tmp/x
git worktree add /tmp/x
git config core.pager './x'
git config core.hooksPath .
git config --global core.pager x
git config alias.x '!rm y'
git config core.fsmonitor ./x
git config --file x core.y z
git config --edit
git config -e
git config set core.pager x
git config user.signingkey x
git help -w x
git daemon
git instaweb
git send-email x
git credential fill
git upload-pack .
git http-backend
git shell -c x
git format-patch -o /tmp x
git format-patch --output-directory=/tmp x
git am --exec=x
git svn x
git p4 x
git lfs x
git add ../x
git diff --no-index /etc/shadow x
git blame --contents /etc/shadow x
git commit -F /etc/shadow
git apply --unsafe-paths x
"""
_NPM = r"""
npm test --script-shell=./x
npm test --script-shell ./x
npm --script-shell=./x test
npm test --prefix /tmp
npm test --prefix=/tmp
npm test --userconfig=x
npm test --globalconfig=x
npm test --node-options=--require=./x
npm test --scripts-prepend-node-path=x
npm test -C /tmp
npm test --cache=/tmp
npm exec x
npm exec -- rm x
npm exec -c 'rm x'
npm exec --call='rm x'
npm exec --package=x y
npm x rm
npx rm x
npx -y x
npx -c 'rm x'
npx --package=x y
npx --yes cowsay
npx -p x y
npm install x
npm i x
npm config set script-shell ./x
npm set script-shell=./x
npm publish
npm link
npm --prefix /tmp run x
yarn dlx x
pnpm dlx x
pnpm exec rm x
yarn exec rm x
bundle exec rm x
npm test; npx x
npm test -- ; rm x
"""
_FILES = r"""
ls > /etc/x
ls > ../x
ls > ~/.bashrc
ls >> ~/.profile
ls >| ../x
ls &> ../x
ls &>> ../x
ls >& ../x
ls 2> ../x
ls 3> ../x
ls <> ../x
ls > .git/hooks/pre-commit
ls > .agentd/config.toml
ls > sub/.git/hooks/x
ls > .git/config
ls > .git/info/attributes
echo x > "$HOME/.ssh/authorized_keys"
echo x > ~/".ssh/authorized_keys"
echo x > $HOME/x
echo x > $x
echo x > *
echo x > x*
echo x > {a,b}
echo x > /dev/tcp/1.2.3.4/80
echo x > /dev/udp/1.2.3.4/53
echo x > /dev/sda
echo x > /proc/self/mem
echo x > /sys/x
ls < /etc/shadow
ls < ~/.ssh/id_rsa
ls < ../x
ls <<< $(rm x)
ls <<< "$(rm x)"
ls {x}> y
ls 10> y
ls<&-rm x
ls >&-rm
<& -rm
ls >&\"../x
ls >&1-rm
echo x | tee /etc/x
echo x | tee -a ~/.bashrc
echo x | tee .git/hooks/x
touch ~/x
touch ../x
mkdir /tmp/x
mkdir -p ../x
ls /root
ls ~/.ssh
ls ..
ls ../..
ls sub/../..
ls -la /home
ls --file-type=../x ../y
cat ~/.ssh/id_rsa
cat $HOME/.ssh/id_rsa
cat /etc/shadow
cat "/etc/shadow"
cat /etc/./shadow
cat /etc/ssl/../shadow
cat ../secret
cat sub/../../secret
cat /root/.bashrc
cat /proc/self/environ
cat /proc/1/environ
cat < /etc/shadow
head -n1 /etc/shadow
grep root /etc/shadow
grep -r x /
grep -f /etc/shadow x
grep --file=/etc/shadow x
diff /etc/shadow x
wc -l /root/x
cat .*/x
cat */../../x
cd .. && ls
cd / && ls
cd; ls
cd ~ && ls
cd -; ls
cd $x && ls
cd /tmp; cat x
cd sub; cd ..; cd ..; cat x
cd sub || cat ../../x
cd nowhere; cat ../x
"""
_PROGRAMS = r"""
awk 'BEGIN{system("rm x")}'
awk 'BEGIN { "rm x" | getline }'
awk '{print | "rm x"}'
awk '{print > "/etc/x"}'
awk '{print >> "x"}'
awk '{printf "a" > "x"}'
awk '{print "a;" > "/etc/x"}'
awk '{print /;/ > "x"}'
awk '{print "}" >> "x"}'
awk 'BEGIN{extension("x")}'
awk -f x
awk -i x '1'
awk -l x '1'
awk -E x
awk '@load "x"'
awk 'BEGIN{ARGV[1]="/etc/shadow";ARGC=2}{print}'
awk 'BEGIN{while((getline l < "/etc/shadow")>0)print l}'
awk 1 /etc/shadow
awk "$(rm x)"
gawk 'BEGIN{system("rm x")}'
sed -n '1e rm x' y
sed 's/a/rm x/e' y
sed '1e' y
sed 'w /etc/x' y
sed 's/a/b/w /etc/x' y
sed 's/a/b/gw x' y
sed -f x y
sed --file=x y
sed -i 's/a/b/' /etc/x
sed -i 's/a/b/' ../x
sed -i 's/a/b/' .git/hooks/x
sed -n 'r /etc/shadow' y
sed '1r /etc/shadow' y
sed 'R /etc/shadow' y
sed 1e
sed -e 1p -e '1e rm x' y
sed -s -i.bak 's/a/b/' ../x
sort -o /etc/x y
sort -o x y
sort --output=x y
sort --outp=x y
sort --compress-program=./x y
sort --compress=./x y
sort -T /tmp y
sort --files0-from=/etc/shadow
uniq x /etc/y
tree -o /etc/x
xxd -r x /etc/y
rg --pre ./x y
rg --pre=./x y
rg --hostname-bin=./x y
rg x /etc/shadow
fd -x rm
fd x -X rm
fd --exec rm
fd --exec-batch rm
date -s 2020-01-01
date -f /etc/shadow
date 010100002020
hostname x
grep -rf../x y
grep -rf/etc/shadow y
sed 's/[/]/e/;s/]/e' y
sed 's/[]/]/;s/e;p;#/x/' y
sed 's/[^]/]/;s/e;p;#/x/' y
sed '/[^]/]/p;e' y
sed '/[]/p;s/]/e;/x/' y
jq '$ENV' x
jq -n env
gcc -Wl,-plugin,./x.so y.c
gcc -Xlinker --plugin=x y.c
ld -plugin ./x.so y.o
go build -ldflags=-extld=./x
python3.12 -c x
perl -e x
ruby -e x
uv run --with x y
uv run rm x
poetry run rm x
file -C -m x
jq -f x y
jq -L x y
yq -i '.a=1' /etc/x
yq 'load("/etc/shadow")' x
tar xf x --to-command=sh
tar cf x y --checkpoint=1 --checkpoint-action=exec=sh
tar xf x -I ./y
tar -xf x --use-compress-program=./y
tar xf x -C /
tar xPf x
tar cf host:x y
tar cf x --rsh-command=./y z
make SHELL=./x
make -f /tmp/Makefile
make -f -
make --file=/tmp/x
make -C /tmp
make -C ..
make --eval='x:;rm y'
make --eval 'x:;rm y'
make CFLAGS='$(shell rm x)'
make -E 'x:;rm y'
make .SHELLFLAGS=x
make MAKEFLAGS=x
python -c 'import os'
python3 -c 'import os'
python3.11 -c 'import os'
python -Sc 'import os'
python -ic 'import os'
python
python -
python -i
echo 'import os' | python
echo 'import os' | python -
python < x
python /tmp/x.py
.venv/bin/python -c x
sub/.venv/bin/python x.py
../.venv/bin/python x.py
/tmp/.venv/bin/python x.py
.venv/bin/pip install x
python ../x.py
node -e 'x'
node --eval 'x'
node -p 'x'
node -r ./x y
node --require ./x y
node --import ./x y
node --loader ./x y
node
node -
echo x | node
perl -e 'x'
perl -pi -e 's/a/b/' x
perl -ne 'system("rm x")' y
ruby -e 'x'
php -r 'x'
deno eval x
bun -e x
lua -e x
tclsh x
gcc -wrapper ./x y.c
gcc -B. y.c
gcc -fplugin=./x.so y.c
gcc -specs=x y.c
gcc @x
gcc y.c -o /etc/x
cargo --config 'build.rustc-wrapper="./x"' build
cargo build --config x
go build -toolexec ./x
go test -exec ./x
go build -o /etc/x
go env -w GOFLAGS=-x
go vet -vettool=./x
cmake -P x
cmake -E rm x
rustc -C linker=./x y
less x
more x
man ls
vi x
vim -c '!rm x'
ed x
emacs --batch
rsync -e ./x a b
rsync a host:b
scp a host:b
curl http://x
wget http://x
nc host 80
dd if=x of=/dev/sda
dd if=/etc/shadow
tee /etc/x
rm -rf .
rm x
mv x y
cp x y
ln -s / x
chmod +x y
kill 1
pkill x
docker run x
reboot
"""
_DOUBTFUL = (
    "ls\u00a0-la; ls",
    "ls\u2003x",
    "ls\u3000x",
    "git\u00a0status",
    "\uff4cs x",
    "ls \uff1b rm x",
    "ls \u037e rm x",
    "l\u0455 x",
    "g\u0456t status",
    "ls \u202e x",
    "ls \u200b x",
    "ls \ufeffx",
    "echo '\u202e'",
    'echo "a\u2028b"',
    "ls \x00 x",
    "ls\rrm x",
    "ls \r\n rm x",
    "ls \x1b[2K x",
    "ls \x07",
    "ls \x0b x",
    "ls \x0c x",
    "ls \x7f",
    "ls \x85 x",
    "ls \ud800",
    "ls 'a\x00b'",
    "echo 'a\rb'",
    "ls '",
    'ls "',
    "ls \\",
    "ls (",
    "ls )",
    "ls ;;",
    "ls &&",
    "&& ls",
    "| ls",
    "if ls",
    "if ls; then ls",
    "for f in",
    "while ls; do",
    "{ ls",
    "ls }; rm x; }",
    "ls\nrm x",
    "ls\n\n\nrm x\n",
    "ls \\\nrm; rm x",
    "l\\\ns x",
    "git sta\\\ntus",
    "i\\\nf ls; then rm x; fi",
    "ls &\\\n& rm x",
    "ls # x\nrm x",
    "ls #\\\nrm x",
    "ls \\\n#x; rm y",
    'echo "a\\\n$(rm x)"',
    'echo "$\\\n(rm x)"',
    "; ".join(["ls"] * 60),
    " | ".join(["ls"] * 60),
    "for a in 1 2 3 4 5 6 7 8; do for b in 1 2 3 4 5 6 7 8; do echo $a $b; done; done",
    "(" * 60 + "ls" + ")" * 60,
    "ls " + "x" * 70_000,
    "echo " + "'a' " * 20_000,
    "for f in a; do f=rm; $f x; done",
    "for f in a; do read f; cat $f; done",
    "for f in a; do export f=/etc/shadow; cat $f; done",
    "for PATH in .; do ls; done",
    "for f in /etc/shadow; do cat $f; done",
    'for f in ../x ../y; do cat "$f"; done',
    "for f in 'a b'; do cat $f; done",
    "for f in; do ls; done",
    "for f; do ls; done",
    "for ((;;)); do ls; done",
    "while cd ..; do ls; done",
    "cd sub && while true; do cd ..; cat x; done",
    "time { rm x; }",
    "time (rm x)",
    "time if ls; then rm x; fi",
    "'NODE_ENV=x' ls",
    "NODE_ENV=x rm y",
    "NODE_ENV=$(rm x) ls",
    "'if' ls; then rm x; fi",
    "echo x >",
    "echo x > > y",
    "echo > x | rm y",
    "ls 2>&1; rm x",
    "ls >&-; rm x",
    "ls <&0; rm x",
    "git status <<< 'x'; rm x",
    "ls -- -la; rm x",
)


_LONGER = (
    "echo 'x\n' ; rm x",
    "echo \\\n$(rm x)",
    "bash <<END\nrm x\nEND",
    "ls <<END\n$(rm x)\nEND",
    "ls <<END\n`rm x`\nEND",
    "ls <<END\n${x:-$(rm x)}\nEND",
    "ls <<END\n$((1))\nEND",
    "ls <<'END'\nx\nEND\nrm x",
    'ls <<"E"D\nx\nED',
    "ls <<$x\nx\n$x",
    "ls << 'A' << 'B'\na\nA\nrm x\nB\nrm y",
    "sed '/x/{e rm y\n}' y",
    "python <<END\nimport os\nEND",
    "ls <<END\nx",
    "ls <<-END\n$(rm x)\n\tEND",
    "cat <<END | sh\nrm x\nEND",
    "cat <<'END' > ../x\ny\nEND",
    "cat <<END\nx\\\nEND\nrm x\nEND",
)


def _lines(*texts: str) -> tuple[str, ...]:
    return tuple(line for text in texts for line in text.strip("\n").split("\n"))


HOSTILE = (
    *_lines(_CHAINED, _SUBSTITUTED, _QUOTED, _ENVIRONMENT, _SHELL, _WRAPPED, _FIND, _GIT, _NPM, _FILES, _PROGRAMS),
    *_LONGER,
    *_DOUBTFUL,
)

_ORDINARY = r"""
git status
git status --short
git add -A && git commit -m "it's a 'quoted' (and longer) message: done"
git commit -q -m 'Fix the thing' -m 'Because "it" was broken; see a && b'
git commit -am "a $ sign, 100%, and #3"
git commit --amend --no-edit
git log --oneline | head
git log --oneline -5 --format='%h %s' -- src
git diff HEAD~1 -- src/ | head -100
git diff --stat main...HEAD
git show HEAD:src/a.py
git stash && git checkout main && git stash pop
git checkout -b feature/x
git switch -c x origin/main
git reset --hard HEAD~1
git branch -a | grep feature
git rev-parse --show-toplevel
git ls-files | xargs grep -n foo
git blame -L 1,20 a.py
git show stash@{0}
git log -p HEAD@{1} -- a.py
git merge --no-ff -m "Merge" x
git -C sub status
git --no-pager log -3
git config user.email dev@example.org
git config --get remote.origin.url
git tag v1.0 -m 'Version 1.0'
git clone repo copy
git init
git grep -n foo -- '*.py'
cd sub && make
cd sub && git status && cd ..
cd sub; ls; cd ..
(cd sub && make test)
make -j4 test 2>&1 | tail -20
make CFLAGS=-O2 all
make 2>&1 | tee build.log
npm test
npm test -- --grep x
npm test 2>&1 | tail -40
npm run build --silent
npm run lint -- --fix
npx eslint src
npx tsc --noEmit
npm exec -- jest
node --version
node build.js
node --test
CI=1 npm test
NODE_ENV=test FORCE_COLOR=0 npm test
python -m pytest -q | tail -5
python -m pytest -q tests/test_a.py::test_b -x
python -m pytest -q -k "a and not b" 2>&1 | tail -20
PYTHONPATH=src python -m pytest
PYTHONDONTWRITEBYTECODE=1 python3 run.py --flag value
python --version
pytest -x --maxfail=1 || true
pytest; echo "exit: $?"
ruff check . && ruff format --check .
mypy src
cargo test -- --nocapture
cmake -DCMAKE_BUILD_TYPE=Release -S . -B build
rustc -C opt-level=3 a.rs
uv run pytest -q
TZ=Europe/Berlin date '+%H:%M'
date -d yesterday +%F
DEBUG='app:*' npm test
ruby x.rb
pip list
.venv/bin/python -m pytest -q
./venv/bin/pytest tests
node_modules/.bin/jest --ci
find . -name '*.py' -not -path './venv/*' -print0 | xargs -0 grep -n foo
grep -rl foo src | xargs wc -l
gcc -Isub/include -c main.c
awk '/x/ {n++} END {print n}' file
sed 's/[a-z]*/X/g; /^$/d' file
sed -E 's/^[[:space:]]+//; s/[^a-z]//g' file
go test ./...
timeout 60 python -m pytest -q
time make
nohup make > make.log 2>&1 &
grep -rn foo src
grep -rn "foo(bar" --include=*.py .
grep -E 'a|b$' file
grep -c "^import" *.py
rg -n "foo" src
find . -name '*.py' | head
find . -name "*.py" -not -path "./venv/*" | xargs wc -l
find . -type f -exec grep -l foo {} +
find src -name '*.c' -exec wc -l {} \;
find . -maxdepth 2 \( -name a -o -name b \)
ls -la; cat x
ls -la sub/ *.py
ls | wc -l
ls sub 2>/dev/null || echo none
cat a.py | sed -n '1,20p'
sed -n 10,20p a.py
sed -n '/def foo/,/return/p' a.py
sed -i 's/foo/bar/g' a.py
sed -e 's/a/b/' -e '/c/d' a.py
awk '{print $1, $NF}' file
awk -F: 'NR > 1 && $3 >= 10 {s += $3} END {print s}' file
sort file | uniq -c | sort -rn | head -5
cut -d, -f2 file | sort -u
head -n 20 file && tail -n +5 file
wc -l "$PWD/file" || true
diff a.py b.py
diff -u a.py b.py | head
echo done
echo "a; b && c | d > e"
echo 'it costs $5'
echo -n x > out.txt
echo "$HOME" "$PWD"
printf '%s\n' a b c
printf "a\tb\n" >> out.txt
pwd && ls
true
which python
test -f file && echo yes
[ $? -eq 0 ] && echo ok
while read -r x; do [ "$x" = y ] && echo "$x"; done < file
[ -d sub ] && ls sub || mkdir -p sub
[[ -f file ]] && cat file
if [ -f package.json ]; then npm test; else echo "none"; fi
for f in a b c; do echo "$f"; done
for f in *.py; do wc -l "$f"; done
for i in 1 2 3; do echo try $i; sleep 1; done
while read -r line; do echo "$line"; done < file
mkdir -p build && cd build && cmake .. && make
touch new.txt
set -e; make; make test
set -euo pipefail; make
export CI=1; npm test
bash -c 'make && make test'
jq '.name' package.json
jq -r '.scripts | keys[]' package.json
date +%F
env | grep PATH
xxd file | head -3
tree -L 2
du -sh .
ps aux | grep python
gcc -O2 -o prog main.c && ls -l prog
ls # what is here
cat /etc/os-release
cat /usr/include/stdio.h | head
ls /usr/bin
cat < file
make > /dev/null 2>&1
git log --format="%an <%ae>" | sort -u
! grep -q foo file
"""

ORDINARY = (
    *_lines(_ORDINARY),
    "cat > notes.md <<'EOF'\n# Title\n$(not run) `nor this`\nEOF",
    "cat <<EOF > sub/x.txt\nhello $USER, it's me\nEOF",
    "cat <<'EOF' | grep b\na\nb\nEOF",
    "cat <<-'EOF' >> x\n\ta\n\tEOF\nls",
    "git commit -m \"first line\n\nand a body with 'quotes'\"",
    "git commit -F - <<'EOF'\nFix: it's (done)\n\n* one\nEOF",
    "make \\\n  -j4 \\\n  test",
    "ls\n\npwd\n",
    "for f in a b\ndo\n  echo $f\ndone",
    "if test -f a; then\n  make\nelse\n  echo none\nfi",
    "git commit -m 'Größe geprüft – ok ✓'",
    "grep -rn 'größe' .",
)
